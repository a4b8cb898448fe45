/*
 * Scanners beside us that score a mail: Rspamd (HTTP, POST /checkv2) and SpamAssassin's spamd
 * (CHECK of SPAMC/1.5). What they are asked and what they answer, as bytes; no socket, no
 * clock. Who drives it connects, sends neighbour_request and the mail as it came, and feeds
 * what comes back until it is no longer NEIGHBOUR_MORE: then the connection is over, since
 * nothing of one mail shall stand beside another's.
 *
 * A reply is read piece by piece in a fixed room, whatever it holds. What is not exactly a
 * reply is NEIGHBOUR_BROKEN, with words.
 */
#ifndef FILTERS_NEIGHBOUR_H
#define FILTERS_NEIGHBOUR_H

#include "base/arena.h"
#include "base/ip.h"
#include "filters/neighbour_json.h"

enum neighbour { NEIGHBOUR_RSPAMD, NEIGHBOUR_SPAMD };
enum {
	NEIGHBOURS = 2,
	NEIGHBOUR_HEAD_BYTES_MOST = 16 * 1024, /* of a reply, before its body */
	/* of a whole one: Rspamd's names the hosts of all links, ten thousand at most */
	NEIGHBOUR_RSPAMD_BYTES_MOST = 4 * 1024 * 1024,
	NEIGHBOUR_SPAMD_BYTES_MOST = 64 * 1024,
	NEIGHBOUR_RECIPIENTS_MOST = 100, /* that are named; more say nothing more */
	NEIGHBOUR_LINE_BYTES = 512,
	NEIGHBOUR_WHY_BYTES = 160,
};

/* "rspamd", "spamassassin": as filter, question and event call it. */
const char *neighbour_text(enum neighbour which);
/* False: none of that name. */
bool neighbour_find(struct slice name, enum neighbour *which_out);

/* The envelope of a mail; what is empty is not known. */
struct neighbour_mail {
	struct ip client; /* family 0: not known */
	struct slice client_name, helo, user, id;
	struct slice hostname, protocol; /* ours, and "ESMTPS": of the Received for spamd */
	struct slice sender;             /* empty: <> */
	const struct slice *recipients;
	size_t n_recipients;
	int64_t wall_ms;
};

/*
 * What the neighbour is told of the envelope: fields of the request for Rspamd, lines on top of
 * the mail (Return-Path, Received) for spamd, which knows an envelope from there alone. No byte
 * of a stranger's can end a line of it.
 */
struct slice
neighbour_envelope(enum neighbour which, const struct neighbour_mail *m, struct arena *a);
/* The request up to the first byte of the mail, which has mail_bytes and follows as it came. */
struct slice neighbour_request(
	enum neighbour which, struct slice envelope, uint64_t mail_bytes, struct arena *a);

/* What was answered. */
struct neighbour_verdict {
	bool failed;
	struct slice why;       /* failed: in words; else who said it */
	double score, required; /* required: from which score on the neighbour acts itself */
	struct slice action;    /* Rspamd's: "no action", "greylist", "add header", ... */
};

enum neighbour_state { NEIGHBOUR_MORE, NEIGHBOUR_DONE, NEIGHBOUR_BROKEN };

/* A reply being read; to be embedded. */
struct neighbour_reply {
	enum neighbour which;
	enum neighbour_state state;
	enum { REPLY_STATUS, REPLY_FIELDS, REPLY_BODY } part;
	size_t bytes; /* of all so far */
	char line[NEIGHBOUR_LINE_BYTES];
	size_t line_bytes; /* as it came: more than fits is not kept */
	bool has_length, has_score;
	uint64_t body_bytes, body_left; /* by its length; without one it ends with the reply */
	double score, required;
	struct neighbour_json json; /* Rspamd's body */
	char why[NEIGHBOUR_WHY_BYTES];
};

void neighbour_reply_init(struct neighbour_reply *r, enum neighbour which);
/* What stands behind the reply's end is not looked at. */
enum neighbour_state neighbour_reply_feed(struct neighbour_reply *r, struct slice in);
/* The neighbour sends no more. */
enum neighbour_state neighbour_reply_end(struct neighbour_reply *r);
/* NEIGHBOUR_DONE; borrows from the reply. */
struct neighbour_verdict neighbour_reply_verdict(const struct neighbour_reply *r);
const char *neighbour_reply_why(const struct neighbour_reply *r); /* NEIGHBOUR_BROKEN */

#endif
