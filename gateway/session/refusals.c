/*
 * Refused recipients, in shared memory under a mutex that outlives its holder; see refusals.h.
 * Written when a server refuses whom we had accepted, asked at the retry.
 */
#include "session/refusals.h"

#include <string.h>

#include "io/shared.h"

enum { KEY_BYTES = 600, WAYS = 4 };

struct entry {
	uint64_t key[2];
	uint64_t until_ms;       /* 0: free */
	struct smtp_reply reply; /* its text lies in `text` */
	uint16_t length;
	char text[REFUSAL_TEXT_BYTES];
};

struct refusals {
	struct shared_lock lock;
	struct entry entries[REFUSALS_MOST];
};

struct refusals *
refusals_new(struct err *err)
{
	struct refusals *t = shared_new(sizeof(*t), "the table of refused recipients", err);
	if (t != NULL)
		shared_lock_init(&t->lock);
	return t;
}

/* At most one entry was half-written by who died inside: all are forgotten. */
static void
lock(struct refusals *t)
{
	if (!shared_lock(&t->lock))
		memset(t->entries, 0, sizeof(t->entries));
}

/* sender NULL: for all senders. */
static void
make_key(const struct address *sender, const struct address *rcpt, uint64_t key_out[2])
{
	char text[KEY_BYTES];
	size_t n = 0;
	struct slice parts[] = {rcpt->text, sender != NULL ? sender->text : SLICE("*")};
	for (size_t i = 0; i < 2; i++) {
		for (size_t k = 0; k < parts[i].n && n < sizeof(text) - 1; k++)
			text[n++] = ascii_lower(parts[i].p[k]);
		text[n++] = '\0';
		if (n == sizeof(text))
			n--;
	}
	key_out[0] = slice_hash((struct slice){text, n});
	text[n++] = '+';
	key_out[1] = slice_hash((struct slice){text, n});
}

static struct entry *
set_of(struct refusals *t, const uint64_t key[2])
{
	return &t->entries[key[0] % (REFUSALS_MOST / WAYS) * WAYS];
}

static struct entry *
find(struct refusals *t, const uint64_t key[2], uint64_t now_ms)
{
	struct entry *set = set_of(t, key);
	for (size_t i = 0; i < WAYS; i++)
		if (set[i].until_ms > now_ms && set[i].key[0] == key[0] &&
			set[i].key[1] == key[1])
			return &set[i];
	return NULL;
}

static struct entry *
victim(struct refusals *t, const uint64_t key[2])
{
	struct entry *set = set_of(t, key), *oldest = set;
	for (size_t i = 1; i < WAYS; i++)
		if (set[i].until_ms < oldest->until_ms)
			oldest = &set[i];
	return oldest;
}

/* RFC 3463 3.2: x.1.x is the address, but 7 and 8 are the sender's. */
static bool
is_unknown_user(const struct smtp_reply *r)
{
	return (r->code == 550 || r->code == 551 || r->code == 553) && r->has_enhanced &&
	       r->enhanced[1] == 1 && r->enhanced[2] != 7 && r->enhanced[2] != 8;
}

void
refusals_note(struct refusals *t, const struct address *sender, const struct address *rcpt,
	const struct smtp_reply *r, uint64_t now_ms)
{
	uint64_t key[2];
	make_key(is_unknown_user(r) ? NULL : sender, rcpt, key);
	lock(t);
	struct entry *e = find(t, key, now_ms);
	if (e == NULL)
		e = victim(t, key);
	struct slice text = slice_first(r->text, sizeof(e->text));
	*e = (struct entry){.key = {key[0], key[1]},
		.until_ms = now_ms + REFUSAL_MS,
		.reply = *r,
		.length = (uint16_t)text.n};
	e->reply.text = SLICE_NONE; /* a pointer of this process is nothing to others */
	if (text.n != 0)
		memcpy(e->text, text.p, text.n);
	shared_unlock(&t->lock);
}

bool
refusals_find(struct refusals *t, const struct address *sender, const struct address *rcpt,
	uint64_t now_ms, struct arena *a, struct smtp_reply *r_out)
{
	uint64_t keys[2][2];
	make_key(NULL, rcpt, keys[0]);
	make_key(sender, rcpt, keys[1]);
	lock(t);
	const struct entry *e = find(t, keys[0], now_ms);
	if (e == NULL)
		e = find(t, keys[1], now_ms);
	bool found = e != NULL;
	if (found) {
		*r_out = e->reply;
		r_out->text = arena_slice(a, (struct slice){e->text, e->length});
	}
	shared_unlock(&t->lock);
	return found;
}
