/*
 * ESMTP parameters of MAIL and RCPT (RFC 5321 4.1.2, 1870, 6152, 6531, 3461, 4954; SRV-08,
 * EXT-06). Unknown keyword 555 5.5.4, bad value 501 5.5.4; keywords without case, each at most
 * once.
 */
#ifndef SMTP_PARAM_H
#define SMTP_PARAM_H

#include "base/arena.h"
#include "smtp/reply.h"

enum smtp_body { SMTP_BODY_NONE, SMTP_BODY_7BIT, SMTP_BODY_8BITMIME };
enum smtp_ret { SMTP_RET_NONE, SMTP_RET_FULL, SMTP_RET_HDRS };
enum {
	SMTP_NOTIFY_NEVER = 1,
	SMTP_NOTIFY_SUCCESS = 2,
	SMTP_NOTIFY_FAILURE = 4,
	SMTP_NOTIFY_DELAY = 8
};
enum { SMTP_ENVID_MOST = 100, SMTP_ORCPT_MOST = 500 };

struct smtp_mail_params {
	uint64_t size; /* bytes declared; 0: none */
	enum smtp_body body;
	bool smtputf8;
	enum smtp_ret ret;
	struct slice envid; /* xtext as it came (checked), to be passed on */
	struct slice auth;  /* AUTH= as it came (checked); never trusted */
};

struct smtp_rcpt_params {
	unsigned notify;    /* 0: none given */
	struct slice orcpt; /* "type;xtext" as it came (checked), to be passed on */
};

/* What the listener has on offer: a parameter of an extension not offered is unknown. */
struct smtp_offer {
	bool tls, smtputf8, dsn, eightbit;
	uint64_t size;              /* the limit, advertised; 0: SIZE without one */
	bool sizeless;              /* a remote without SIZE; we always have it */
	const char *auth;           /* "PLAIN LOGIN SCRAM-SHA-256", or NULL */
	unsigned xclient, xforward; /* attributes that may be told (smtp/xclient.h); 0: none */
};

/* What a name in EHLO may hold: it goes into headers and logs (SRV-10). */
bool smtp_helo_byte(char c);
/* False: *reply_out says why. */
bool smtp_params_mail(struct slice in, const struct smtp_offer *offer, struct arena *a,
	struct smtp_mail_params *p_out, struct smtp_reply *reply_out);
bool smtp_params_rcpt(struct slice in, const struct smtp_offer *offer, struct arena *a,
	struct smtp_rcpt_params *p_out, struct smtp_reply *reply_out);
/*
 * " SIZE=.. BODY=.. ..." for a next hop, as far as it has the extension; false: it lacks
 * SMTPUTF8. AUTH= is not passed on: we do not vouch for it (RFC 4954 5). out has room for 1 KiB
 * (must).
 */
bool smtp_params_mail_write(
	const struct smtp_mail_params *p, const struct smtp_offer *remote, struct buf *out);
void smtp_params_rcpt_write(
	const struct smtp_rcpt_params *p, const struct smtp_offer *remote, struct buf *out);

#endif
