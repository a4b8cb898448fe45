/*
 * The mails that a model goes over again; see spam_rehearsal.h. Two tables of packed mails, one
 * for each kind, filled in order and then written over by chance, so that a mail stays the
 * longer the fewer come: what is taught now counts more than what was taught last year.
 *
 * In a file: of each mail u32 bytes that follow, u8 1 spam or 0 ham, 16 bytes of id, i32
 * shipped, i32 evidence, u32 places of raw, u32 of text, then the gaps of both, one set behind
 * the other, seven bits a byte, the low ones first, the eighth says that more follow.
 */
#include "filters/spam_rehearsal.h"

#include <string.h>

#include "base/little.h"
#include "base/mem.h"
#include "base/must.h"

enum {
	HEAD_BYTES = 1 + SPAM_ID_BYTES + 4 * 4,
	GAP_BYTES_MOST = 3, /* of a number below SPAM_WEIGHTS */
	PACKED_MOST = HEAD_BYTES + 2 * GAP_BYTES_MOST * SPAM_FEATURES_MOST,
	WORD_BITS = 64,
};

struct packed {
	uint8_t *bytes;
	uint32_t n;
};

struct spam_rehearsal {
	struct packed mails[2][SPAM_REHEARSED]; /* by kind: ham, spam */
	uint32_t used[2];
	uint32_t raw[SPAM_FEATURES_MOST], text[SPAM_FEATURES_MOST]; /* of the one taken last */
	uint64_t places[SPAM_WEIGHTS / WORD_BITS];                  /* all zero between calls */
	uint8_t work[PACKED_MOST];
};

struct spam_rehearsal *
spam_rehearsal_new(void)
{
	return MEM_NEW(struct spam_rehearsal);
}

void
spam_rehearsal_free(struct spam_rehearsal **r)
{
	if (*r == NULL)
		return;
	for (int kind = 0; kind < 2; kind++)
		for (uint32_t i = 0; i < (*r)->used[kind]; i++)
			mem_free((*r)->mails[kind][i].bytes);
	mem_free(*r);
	*r = NULL;
}

static uint8_t *
put32(uint8_t *p, uint32_t value)
{
	little_put_u32(p, value);
	return p + 4;
}

/* --- one mail to bytes and back */

static uint8_t *
put_gaps(struct spam_rehearsal *r, const uint32_t *places, size_t n, uint8_t *p)
{
	for (size_t i = 0; i < n; i++)
		r->places[places[i] / WORD_BITS] |= UINT64_C(1) << places[i] % WORD_BITS;
	uint32_t before = 0;
	for (uint32_t word = 0; word < SPAM_WEIGHTS / WORD_BITS; word++) {
		for (uint64_t bits = r->places[word]; bits != 0; bits &= bits - 1) {
			uint32_t place = word * WORD_BITS + (uint32_t)__builtin_ctzll(bits);
			uint32_t gap = place - before;
			for (; gap >= 0x80; gap >>= 7)
				*p++ = (uint8_t)(gap | 0x80);
			*p++ = (uint8_t)gap;
			before = place;
		}
		r->places[word] = 0;
	}
	return p;
}

/* Distinct and below SPAM_WEIGHTS, or NULL. */
static const uint8_t *
get_gaps(const uint8_t *p, const uint8_t *end, uint32_t *places, size_t n)
{
	uint32_t before = 0;
	for (size_t i = 0; i < n; i++) {
		uint32_t gap = 0;
		int shift = 0;
		while (p < end && (*p & 0x80) != 0 && shift < 14) {
			gap |= (uint32_t)(*p++ & 0x7f) << shift;
			shift += 7;
		}
		if (p == end || (*p & 0x80) != 0)
			return NULL;
		gap |= (uint32_t)*p++ << shift;
		if ((gap == 0 && i > 0) || gap >= SPAM_WEIGHTS - before)
			return NULL;
		before = places[i] = before + gap;
	}
	return p;
}

static bool
unpack(struct spam_rehearsal *r, const struct packed *one, bool *spam_out,
	struct spam_features *f_out)
{
	const uint8_t *p = one->bytes, *end = p + one->n;
	if (one->n < HEAD_BYTES || p[0] > 1)
		return false;
	*spam_out = p[0] == 1;
	*f_out = (struct spam_features){.raw = r->raw, .text = r->text};
	memcpy(f_out->id, p + 1, SPAM_ID_BYTES);
	p += 1 + SPAM_ID_BYTES;
	f_out->shipped = (int32_t)little_get_u32(p);
	f_out->evidence = (int32_t)little_get_u32(p + 4);
	f_out->n_raw = little_get_u32(p + 8);
	f_out->n_text = little_get_u32(p + 12);
	if (f_out->n_raw > SPAM_FEATURES_MOST || f_out->n_text > SPAM_FEATURES_MOST)
		return false;
	p = get_gaps(p + 16, end, r->raw, f_out->n_raw);
	if (p != NULL)
		p = get_gaps(p, end, r->text, f_out->n_text);
	return p == end;
}

/* --- which are kept */

static void
put(struct spam_rehearsal *r, bool spam, const uint8_t *bytes, size_t n, uint32_t chance)
{
	uint32_t at = r->used[spam];
	if (at < SPAM_REHEARSED)
		r->used[spam]++;
	else
		at = chance % SPAM_REHEARSED;
	struct packed *one = &r->mails[spam][at];
	mem_free(one->bytes);
	one->bytes = mem_array(n, 1);
	memcpy(one->bytes, bytes, n);
	one->n = (uint32_t)n;
}

void
spam_rehearsal_keep(struct spam_rehearsal *r, const struct spam_features *f, bool spam)
{
	must(f->n_raw <= SPAM_FEATURES_MOST && f->n_text <= SPAM_FEATURES_MOST);
	uint8_t *p = r->work;
	*p++ = spam;
	memcpy(p, f->id, SPAM_ID_BYTES);
	p = put32(p + SPAM_ID_BYTES, (uint32_t)f->shipped);
	p = put32(p, (uint32_t)f->evidence);
	p = put32(p, (uint32_t)f->n_raw);
	p = put32(p, (uint32_t)f->n_text);
	p = put_gaps(r, f->raw, f->n_raw, p);
	p = put_gaps(r, f->text, f->n_text, p);
	put(r, spam, r->work, (size_t)(p - r->work), little_get_u32(f->id));
}

void
spam_rehearsal_drop(struct spam_rehearsal *r, const uint8_t id[SPAM_ID_BYTES])
{
	for (int kind = 0; kind < 2; kind++) {
		for (uint32_t i = 0; i < r->used[kind]; i++) {
			struct packed *one = &r->mails[kind][i];
			if (memcmp(one->bytes + 1, id, SPAM_ID_BYTES) != 0)
				continue;
			mem_free(one->bytes);
			*one = r->mails[kind][--r->used[kind]];
			r->mails[kind][r->used[kind]] = (struct packed){NULL, 0};
			i--;
		}
	}
}

bool
spam_rehearsal_take(
	struct spam_rehearsal *r, bool spam, uint32_t salt, struct spam_features *f_out)
{
	bool kind;
	if (r->used[spam] == 0)
		return false;
	bool right = unpack(r, &r->mails[spam][salt % r->used[spam]], &kind, f_out);
	must(right && kind == spam);
	return true;
}

/* --- in a file */

size_t
spam_rehearsal_bytes(const struct spam_rehearsal *r)
{
	size_t n = 0;
	for (int kind = 0; kind < 2; kind++)
		for (uint32_t i = 0; i < r->used[kind]; i++)
			n += 4 + r->mails[kind][i].n;
	return n;
}

void
spam_rehearsal_pack(const struct spam_rehearsal *r, uint8_t *bytes)
{
	for (int kind = 0; kind < 2; kind++) {
		for (uint32_t i = 0; i < r->used[kind]; i++) {
			const struct packed *one = &r->mails[kind][i];
			bytes = put32(bytes, one->n);
			memcpy(bytes, one->bytes, one->n);
			bytes += one->n;
		}
	}
}

bool
spam_rehearsal_unpack(struct spam_rehearsal *r, const uint8_t *bytes, size_t n)
{
	struct spam_features f;
	bool spam;
	while (n > 0) {
		if (n < 4 || little_get_u32(bytes) > n - 4 ||
			little_get_u32(bytes) > PACKED_MOST)
			return false;
		struct packed one = {(uint8_t *)r->work, little_get_u32(bytes)};
		memcpy(r->work, bytes + 4, one.n);
		if (!unpack(r, &one, &spam, &f) || r->used[spam] == SPAM_REHEARSED ||
			(!spam && r->used[true] > 0)) /* ham stands first */
			return false;
		put(r, spam, one.bytes, one.n, 0);
		bytes += 4 + one.n;
		n -= 4 + one.n;
	}
	return true;
}
