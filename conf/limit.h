/*
 * Limits as rules write them: `rate user > 200/hour`, `quota client > 50000 recipients/month`.
 * A rate is a bucket that holds N and refills evenly within its span; a quota counts in the
 * calendar period of the machine's local time. The text form is the argument of the fact, and
 * what people see; it reads as it was written.
 */
#ifndef CONF_LIMIT_H
#define CONF_LIMIT_H

#include "base/arena.h"
#include "base/slice.h"

/* What is counted for whom. */
enum limit_key {
	LIMIT_USER,
	LIMIT_CLIENT,
	LIMIT_SENDER,
	LIMIT_SENDER_DOMAIN,
	LIMIT_RECIPIENT,
	LIMIT_RECIPIENT_DOMAIN,
	LIMIT_KEYS
};

enum limit_span {
	SPAN_SECOND,
	SPAN_MINUTE,
	SPAN_HOUR,
	SPAN_DAY,
	SPAN_WEEK,
	SPAN_MONTH,
	LIMIT_SPANS
};

/* As the engine of the state takes them (base/state_op.h). */
enum { LIMIT_MOST = 1000000000 };

struct limit {
	bool quota;
	enum limit_key key;
	uint64_t n;
	bool recipients; /* recipients are counted, not mails */
	enum limit_span span;
};

const char *limit_key_text(enum limit_key k);   /* "sender.domain" */
const char *limit_span_text(enum limit_span s); /* "hour" */
uint64_t limit_span_ms(enum limit_span s);      /* of a rate: second to day */
bool limit_span_find(struct slice word, enum limit_span *span_out);
/* A rate has spans up to a day, a quota from a day on. */
bool limit_span_fits(bool quota, enum limit_span s);
/* Whether each recipient is counted for itself. */
bool limit_by_recipient(const struct limit *l);
/* The fact that answers it: "rate", "rate.recipients", "quota", "quota.recipients". */
const char *limit_fact(const struct limit *l);
/* "user > 200 recipients/hour", and back. False: no such text. */
struct slice limit_text(const struct limit *l, struct arena *a);
bool limit_parse(bool quota, struct slice text, struct limit *limit_out);

#endif
