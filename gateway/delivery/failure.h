/*
 * What a failed attempt means (OUT-10): from reply code, enhanced code, words and phase to a
 * class, whether it is for good, and whom it is about. Rules are a data file, the first that
 * fits decides; what no rule knows is judged by the codes alone (RFC 5321 4.2.1, RFC 3463). A
 * refusal aimed at our address is never told as "no such user".
 */
#ifndef DELIVERY_FAILURE_H
#define DELIVERY_FAILURE_H

#include "base/arena.h"
#include "base/err.h"
#include "smtp/reply.h"

enum failure_class {
	FAILURE_NO_RECIPIENT, /* no such mailbox, or no such domain; the mailbox is closed */
	FAILURE_MAILBOX_FULL,
	FAILURE_TOO_LARGE,
	FAILURE_CONTENT,        /* policy about what is in the mail: spam, virus, attachments */
	FAILURE_AUTHENTICATION, /* SPF, DKIM, DMARC, the sender's address or rights */
	FAILURE_LISTED,         /* our address: block list, reputation, rate, no PTR */
	FAILURE_GREYLISTED,
	FAILURE_BUSY, /* the remote's own trouble: load, storage, system; try again */
	FAILURE_TLS,
	FAILURE_PROTOCOL, /* syntax, a command or parameter not known, lost connections */
	FAILURE_ROUTE,    /* DNS, no connection, loop, relaying denied, the time is over */
	FAILURE_OTHER,    /* a refusal that says nothing */
	FAILURE_CLASSES
};
enum failure_about { ABOUT_RECIPIENT, ABOUT_THE_MAIL, ABOUT_US, ABOUT_THE_WAY };

enum failure_phase { /* where it failed; the rules may ask for it */
	FAILURE_AT_DNS,
	FAILURE_AT_CONNECT,
	FAILURE_AT_GREETING, /* and EHLO */
	FAILURE_AT_TLS,
	FAILURE_AT_AUTH,
	FAILURE_AT_MAIL,
	FAILURE_AT_RCPT,
	FAILURE_AT_DATA, /* and the body */
	FAILURE_AT_DOT,
	FAILURE_PHASES
};

struct failure_input {
	const struct smtp_reply
		*reply; /* code 0: no words came; text is the remote's or ours */
	bool from_hop;  /* the remote's words */
	enum failure_phase phase;
	struct slice host; /* the remote's name, for rules about a provider; may be empty */
};

struct failure {
	enum failure_class class;
	bool permanent; /* FAILURE_LISTED: not even with a 5xx, unless a rule says so */
	enum failure_about about;
	const char *rule; /* its name in the file; NULL: by the codes */
};

struct failure_rules;

/* "no-recipient", "listed", ...: as in logs, in the rules' file and in `then smarthost after`.
 */
const char *failure_class_text(enum failure_class c);
bool failure_class_parse(struct slice word, enum failure_class *class_out);
const char *failure_phase_text(enum failure_phase p);

/*
 * The rules of `text`; the head of failure.rules tells their language. NULL and err with
 * "NAME:LINE: what is wrong". name: for messages. Live until freed.
 */
struct failure_rules *failure_rules_parse(struct slice text, const char *name, struct err *err);
/* Reads a file and adds its rules in front of those that are there. */
int failure_rules_add(struct failure_rules *r, const char *path, struct err *err);
/* The same from memory; name: for messages. */
int failure_rules_add_text(
	struct failure_rules *r, struct slice text, const char *name, struct err *err);
void failure_rules_free(struct failure_rules **r);
/* The rules that are built into the program (from gateway/delivery/failure.rules). */
struct failure_rules *failure_rules_new(struct err *err);

/* Pure. Words are looked at without case, at most 2 KiB of them. */
void failure_judge(
	const struct failure_rules *r, const struct failure_input *in, struct failure *out);

#endif
