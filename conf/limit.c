/*
 * The words of limits; see limit.h. The parser reads them, policy/ makes a fact's argument of
 * them, filters/ reads that back, and a refusal names them: all from these tables.
 */
#include "conf/limit.h"

#include <inttypes.h>

#include "base/must.h"

static const char *const keys[LIMIT_KEYS] = {
	"user", "client", "sender", "sender.domain", "recipient", "recipient.domain"};

static const struct {
	const char *text;
	uint64_t ms; /* 0: as the calendar has it */
} spans[LIMIT_SPANS] = {
	{"second", 1000},
	{"minute", 60 * 1000},
	{"hour", 3600 * 1000},
	{"day", 86400 * 1000},
	{"week", 0},
	{"month", 0},
};

const char *
limit_key_text(enum limit_key k)
{
	must(k < LIMIT_KEYS);
	return keys[k];
}

const char *
limit_span_text(enum limit_span s)
{
	must(s < LIMIT_SPANS);
	return spans[s].text;
}

uint64_t
limit_span_ms(enum limit_span s)
{
	must(s < LIMIT_SPANS && spans[s].ms != 0);
	return spans[s].ms;
}

bool
limit_span_find(struct slice word, enum limit_span *span_out)
{
	for (unsigned i = 0; i < LIMIT_SPANS; i++) {
		if (!slice_eq(word, slice_of(spans[i].text)))
			continue;
		*span_out = (enum limit_span)i;
		return true;
	}
	return false;
}

bool
limit_span_fits(bool quota, enum limit_span s)
{
	return quota ? s >= SPAN_DAY : s <= SPAN_DAY;
}

bool
limit_by_recipient(const struct limit *l)
{
	return l->recipients || l->key == LIMIT_RECIPIENT || l->key == LIMIT_RECIPIENT_DOMAIN;
}

const char *
limit_fact(const struct limit *l)
{
	bool by_recipient = limit_by_recipient(l);
	if (l->quota)
		return by_recipient ? "quota.recipients" : "quota";
	return by_recipient ? "rate.recipients" : "rate";
}

struct slice
limit_text(const struct limit *l, struct arena *a)
{
	return arena_printf(a, "%s > %" PRIu64 "%s/%s", limit_key_text(l->key), l->n,
		l->recipients ? " recipients" : "", limit_span_text(l->span));
}

bool
limit_parse(bool quota, struct slice text, struct limit *limit_out)
{
	struct limit l = {.quota = quota};
	struct slice key, sign, count, span;
	slice_cut(text, ' ', &key, &text);
	slice_cut(text, ' ', &sign, &text);
	if (!slice_eq(sign, SLICE(">")) || !slice_cut(text, '/', &count, &span))
		return false;
	l.recipients = slice_ends(count, SLICE(" recipients"));
	if (l.recipients)
		count.n -= sizeof(" recipients") - 1;
	while (l.key < LIMIT_KEYS && !slice_eq(key, slice_of(keys[l.key])))
		l.key++;
	*limit_out = l;
	return l.key < LIMIT_KEYS && slice_u64(count, &limit_out->n) && limit_out->n != 0 &&
	       limit_out->n <= LIMIT_MOST && limit_span_find(span, &limit_out->span) &&
	       limit_span_fits(quota, limit_out->span);
}
