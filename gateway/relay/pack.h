/*
 * Envelopes, replies and bodies as bytes, for messages between processes (io/ipc.h) and for
 * what is stored: whoever keeps or hands on a mail writes its parts with these. Pairs of put
 * and get; what put writes, get reads in the same order and with the same bounds.
 *
 * Nothing that is read is believed: words hold no control character, so that none of them can
 * end a line of a command; what is too long or out of range makes the reader bad, and that
 * sticks (ipc_in_done). What is read borrows from the bytes, replies' texts from the arena.
 */
#ifndef RELAY_PACK_H
#define RELAY_PACK_H

#include "io/ipc.h"
#include "relay/body.h"
#include "smtp/address.h"
#include "smtp/param.h"

enum {
	RELAY_RAW_MOST = 512,    /* local@domain, quoted as it came */
	RELAY_DOMAIN_MOST = 256, /* a domain or literal */
	/* The least bytes that one takes: for ipc_get_count. */
	RELAY_ADDRESS_LEAST = 10,
	RELAY_RCPT_PARAMS_LEAST = 5,
	RELAY_REPLY_LEAST = 13,
};

/* At most `most` bytes without control characters. */
struct slice relay_get_words(struct ipc_in *in, size_t most);

/* raw, domain, utf8 and is_null; text is then raw, local what stands before its last '@'. */
void relay_put_address(struct ipc_out *o, const struct address *a);
void relay_get_address(struct ipc_in *in, struct address *a_out);

/* All but size, which is the body's, and auth, which is not passed on. */
void relay_put_mail_params(struct ipc_out *o, const struct smtp_mail_params *p);
void relay_get_mail_params(struct ipc_in *in, struct smtp_mail_params *p_out);
void relay_put_rcpt_params(struct ipc_out *o, const struct smtp_rcpt_params *p);
void relay_get_rcpt_params(struct ipc_in *in, struct smtp_rcpt_params *p_out);

/* Its text is cut to text_most bytes. */
void relay_put_reply(struct ipc_out *o, const struct smtp_reply *r, size_t text_most);
/* Codes from 200 to 599, the enhanced code of the same class; the text is cleaned anew. */
void relay_get_reply(struct ipc_in *in, struct arena *a, struct smtp_reply *r_out);
/* Code 0 too: no words came. */
void relay_get_reply_or_none(struct ipc_in *in, struct arena *a, struct smtp_reply *r_out);

/*
 * Memory parts with their bytes, file parts as ranges. All file parts are of one descriptor
 * (must), which travels beside the bytes: *fd_out, or -1.
 */
void relay_put_body(struct ipc_out *o, const struct relay_body *b, int *fd_out);
/* fd: what came along, -1: none; b: initialised and empty. Ranges end below 2^63. */
void relay_get_body(struct ipc_in *in, int fd, struct relay_body *b);

#endif
