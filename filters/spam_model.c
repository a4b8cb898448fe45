/*
 * The site's model: two tables of whole numbers, and a ring of what was learned with the steps
 * that each mail made, so that it can be taken back to the bit whatever came after it.
 *
 * The file, all numbers little-endian:
 *     "POSTSPAM"  u32 version (2)  u32 version of features  u32 bits
 *     u32 ham  u32 spam  u32 mails remembered
 *     i32[2^bits] raw  i32[2^bits] text
 *     of each mail, the oldest first: 16 bytes of id, i32 steps of raw, i32 of text, u8 1 ham
 *     or 2 spam; the mails to go over again (spam_rehearsal.c); u32 CRC-32C of all before it
 */
#include "filters/spam_model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/little.h"
#include "base/mem.h"
#include "base/must.h"
#include "filters/spam_rehearsal.h"
#include "filters/spam_weigh.h"

enum {
	FILE_VERSION = 2,
	HEAD_BYTES = 8 + 6 * 4,
	ENTRY_BYTES = SPAM_ID_BYTES + 4 + 4 + 1,
	INDEX_BITS = 19, /* at most 0.4 full */
	INDEX_SIZE = 1 << INDEX_BITS,
	RING_LEAST = 1024,
	WEIGHT_MOST = 1 << 30, /* a view learns nothing more where a weight would pass it */
	STEPS_MOST = 1 << 30,  /* of one mail together: no more of it then */
};

/* A step, and the error that is too small to be worth one: measured, contrib/spam/README.md. */
static const double eta = 5, thick = 0.02;

enum { GONE = 0, HAM = 1, SPAM = 2 };

struct entry {
	uint8_t id[SPAM_ID_BYTES];
	int32_t raw, text; /* what was added to each weight */
	uint8_t label;     /* GONE: forgotten or taken back */
};

struct spam_model {
	struct spam_weights weights;
	struct entry *ring;
	size_t room, first, used; /* used: from first on, gone ones too */
	size_t n;                 /* of them remembered */
	uint32_t *index;          /* INDEX_SIZE; place in the ring + 1; 0: free */
	struct spam_rehearsal *rehearsal;
};

struct spam_model *
spam_model_new(void)
{
	struct spam_model *m = MEM_NEW(struct spam_model);
	m->room = RING_LEAST;
	m->ring = mem_array(m->room, sizeof(*m->ring));
	m->index = mem_array(INDEX_SIZE, sizeof(*m->index));
	m->rehearsal = spam_rehearsal_new();
	return m;
}

void
spam_model_free(struct spam_model **m)
{
	if (*m == NULL)
		return;
	mem_free((*m)->ring);
	mem_free((*m)->index);
	spam_rehearsal_free(&(*m)->rehearsal);
	mem_free(*m);
	*m = NULL;
}

const struct spam_weights *
spam_model_weights(const struct spam_model *m)
{
	return &m->weights;
}

/* --- what was learned: a ring by age, an index by id */

static uint32_t
home(const uint8_t *id)
{
	uint32_t h;
	memcpy(&h, id, sizeof(h));
	return (h * 0x9e3779b1u) >> (32 - INDEX_BITS);
}

/* Where it stands in the index, or the free place where it would. */
static uint32_t
look_up(const struct spam_model *m, const uint8_t *id)
{
	uint32_t at = home(id);
	while (m->index[at] != 0 &&
		memcmp(m->ring[m->index[at] - 1].id, id, SPAM_ID_BYTES) != 0)
		at = (at + 1) & (INDEX_SIZE - 1);
	return at;
}

static struct entry *
find(const struct spam_model *m, const uint8_t *id)
{
	uint32_t at = look_up(m, id);
	return m->index[at] != 0 ? &m->ring[m->index[at] - 1] : NULL;
}

/* Those behind the place that gets free move up, so that no search ends before them. */
static void
forget(struct spam_model *m, struct entry *e)
{
	uint32_t hole = look_up(m, e->id);
	must(m->index[hole] != 0);
	for (uint32_t at = hole;;) {
		at = (at + 1) & (INDEX_SIZE - 1);
		if (m->index[at] == 0)
			break;
		uint32_t want = home(m->ring[m->index[at] - 1].id);
		if (((at - want) & (INDEX_SIZE - 1)) >= ((at - hole) & (INDEX_SIZE - 1))) {
			m->index[hole] = m->index[at];
			hole = at;
		}
	}
	m->index[hole] = 0;
	e->label = GONE;
	m->n--;
}

static void
ring_grow(struct spam_model *m)
{
	size_t room = m->room * 2 < SPAM_LEARNED_MOST ? m->room * 2 : SPAM_LEARNED_MOST;
	must(m->first == 0 && room > m->room);
	m->ring = mem_resize(m->ring, room * sizeof(*m->ring));
	memset(m->ring + m->room, 0, (room - m->room) * sizeof(*m->ring));
	m->room = room;
}

static void
remember(struct spam_model *m, const struct entry *e)
{
	if (m->used == m->room && m->room < SPAM_LEARNED_MOST)
		ring_grow(m);
	if (m->used == m->room) { /* the oldest goes; what it taught stays */
		if (m->ring[m->first].label != GONE)
			forget(m, &m->ring[m->first]);
		m->first = (m->first + 1) % m->room;
		m->used--;
	}
	size_t at = (m->first + m->used) % m->room;
	uint32_t place = look_up(m, e->id);
	must(m->index[place] == 0);
	m->ring[at] = *e;
	m->index[place] = (uint32_t)at + 1;
	m->used++;
	m->n++;
}

/* --- learning */

struct spam_logits
spam_weigh(const struct spam_weights *w, const struct spam_features *f)
{
	int64_t raw = 0, text = 0;
	for (size_t i = 0; i < f->n_raw; i++)
		raw += w->raw[f->raw[i]];
	for (size_t i = 0; i < f->n_text; i++)
		text += w->text[f->text[i]];
	return (struct spam_logits){spam_logit(raw, f->n_raw), spam_logit(text, f->n_text)};
}

/* Modulo 2^32, so that taking back is exact even where a sum went over on the way. */
static void
add(int32_t *weights, const uint32_t *places, size_t n, int32_t step)
{
	for (size_t i = 0; i < n && step != 0; i++)
		weights[places[i]] = (int32_t)((uint32_t)weights[places[i]] + (uint32_t)step);
}

/* 0 where a weight would go over its edge. */
static int32_t
step_of(const int32_t *weights, const uint32_t *places, size_t n, double wrong)
{
	int32_t step = (int32_t)lrint(eta * wrong * spam_unit(n) * SPAM_ONE);
	for (size_t i = 0; i < n; i++) {
		int64_t then = (int64_t)weights[places[i]] + step;
		if (then > WEIGHT_MOST || then < -WEIGHT_MOST)
			return 0;
	}
	return step;
}

/*
 * How far all that is known of the mail is from the truth: one error for both views and what
 * came before them, so that their sum is right, and none of them says again what others say.
 */
static double
wrong_of(const struct spam_model *m, const struct spam_features *f, bool spam)
{
	struct spam_logits own = spam_weigh(&m->weights, f);
	double fade = spam_fade(m->weights.ham, m->weights.spam);
	double known = spam_bias + ((double)f->evidence + fade * f->shipped) / SPAM_ONE;
	double wrong = (spam ? 1 : 0) - 1 / (1 + exp(-(own.raw + own.text + known)));
	return fabs(wrong) < thick ? 0 : wrong;
}

static void
count(struct spam_model *m, uint8_t label, bool more)
{
	uint32_t *n = label == SPAM ? &m->weights.spam : &m->weights.ham;
	*n += more ? 1 : -1u;
}

static void
take_back(struct spam_model *m, struct entry *e, const struct spam_features *f)
{
	add(m->weights.raw, f->raw, f->n_raw, -e->raw);
	add(m->weights.text, f->text, f->n_text, -e->text);
	count(m, e->label, false);
	spam_rehearsal_drop(m->rehearsal, f->id);
	forget(m, e);
}

/* A step, or none, towards what the mail is; e: where it is remembered, or NULL. */
static void
step(struct spam_model *m, const struct spam_features *f, bool spam, struct entry *e)
{
	double wrong = wrong_of(m, f, spam);
	int32_t raw = step_of(m->weights.raw, f->raw, f->n_raw, wrong);
	int32_t text = step_of(m->weights.text, f->text, f->n_text, wrong);
	if (e != NULL) {
		if (abs(e->raw) > STEPS_MOST - abs(raw) ||
			abs(e->text) > STEPS_MOST - abs(text))
			return;
		e->raw += raw;
		e->text += text;
	}
	add(m->weights.raw, f->raw, f->n_raw, raw);
	add(m->weights.text, f->text, f->n_text, text);
}

/*
 * One of the other kind again, so that a long run of one kind does not take all with it. Its
 * steps are its own: unlearning it takes back all of them, and unlearning what came before
 * them none.
 */
static void
rehearse(struct spam_model *m, const struct spam_features *after, bool spam)
{
	struct spam_features again;
	uint32_t salt;
	memcpy(&salt, after->id + 4, sizeof(salt));
	if (spam_rehearsal_take(m->rehearsal, !spam, salt, &again))
		step(m, &again, !spam, find(m, again.id));
}

enum spam_learn
spam_model_learn(struct spam_model *m, const struct spam_features *f, bool spam)
{
	struct entry *known = find(m, f->id);
	uint8_t label = spam ? SPAM : HAM;
	if (known != NULL && known->label == label)
		return SPAM_KNOWN;
	if (known != NULL)
		take_back(m, known, f);
	struct entry e = {.label = label};
	memcpy(e.id, f->id, sizeof(e.id));
	step(m, f, spam, &e);
	count(m, label, true);
	remember(m, &e);
	rehearse(m, f, spam);
	spam_rehearsal_keep(m->rehearsal, f, spam);
	return known != NULL ? SPAM_CHANGED : SPAM_LEARNED;
}

enum spam_learn
spam_model_unlearn(struct spam_model *m, const struct spam_features *f)
{
	struct entry *known = find(m, f->id);
	if (known == NULL)
		return SPAM_UNKNOWN;
	take_back(m, known, f);
	return SPAM_LEARNED;
}

/* --- the file */

static const char magic[] = "POSTSPAM";

size_t
spam_model_file_bytes(const struct spam_model *m)
{
	return HEAD_BYTES + (size_t)SPAM_WEIGHTS * 2 * 4 + m->n * ENTRY_BYTES +
	       spam_rehearsal_bytes(m->rehearsal) + 4;
}

/* Each moves on behind the number. */
static uint8_t *
put32(uint8_t *p, uint32_t value)
{
	little_put_u32(p, value);
	return p + 4;
}

static uint32_t
get32(const uint8_t **p)
{
	*p += 4;
	return little_get_u32(*p - 4);
}

void
spam_model_pack(const struct spam_model *m, uint8_t *bytes)
{
	uint8_t *p = bytes;
	memcpy(p, magic, 8);
	const uint32_t head[] = {FILE_VERSION, SPAM_FEATURES_VERSION, SPAM_BITS, m->weights.ham,
		m->weights.spam, (uint32_t)m->n};
	p += 8;
	for (size_t i = 0; i < sizeof(head) / sizeof(head[0]); i++)
		p = put32(p, head[i]);
	for (size_t i = 0; i < SPAM_WEIGHTS; i++)
		p = put32(p, (uint32_t)m->weights.raw[i]);
	for (size_t i = 0; i < SPAM_WEIGHTS; i++)
		p = put32(p, (uint32_t)m->weights.text[i]);
	for (size_t i = 0; i < m->used; i++) {
		const struct entry *e = &m->ring[(m->first + i) % m->room];
		if (e->label == GONE)
			continue;
		memcpy(p, e->id, SPAM_ID_BYTES);
		p = put32(p + SPAM_ID_BYTES, (uint32_t)e->raw);
		p = put32(p, (uint32_t)e->text);
		*p++ = e->label;
	}
	spam_rehearsal_pack(m->rehearsal, p);
	p += spam_rehearsal_bytes(m->rehearsal);
	p = put32(p, crc32c(0, bytes, (size_t)(p - bytes)));
	must((size_t)(p - bytes) == spam_model_file_bytes(m));
}

/* The whole file is there and is what was written; head_out: what follows the magic. */
static int
check_file(struct slice file, uint32_t head_out[static 6], struct err *err)
{
	const uint8_t *p = (const uint8_t *)file.p;
	if (file.n < HEAD_BYTES + 4 || memcmp(p, magic, 8) != 0)
		return err_set(err, "not a model of spam");
	const uint8_t *at = p + 8, *end = p + file.n - 4;
	for (int i = 0; i < 6; i++)
		head_out[i] = get32(&at);
	if (head_out[0] != FILE_VERSION || head_out[1] != SPAM_FEATURES_VERSION ||
		head_out[2] != SPAM_BITS)
		return err_set(err, "a model of another version: %u.%u.%u, not %d.%d.%d",
			head_out[0], head_out[1], head_out[2], FILE_VERSION,
			SPAM_FEATURES_VERSION, SPAM_BITS);
	if (head_out[5] > SPAM_LEARNED_MOST ||
		file.n < HEAD_BYTES + (size_t)SPAM_WEIGHTS * 2 * 4 +
				 (size_t)head_out[5] * ENTRY_BYTES + 4)
		return err_set(err, "the model is cut");
	if (get32(&end) != crc32c(0, p, file.n - 4))
		return err_set(err, "the model is damaged: its check does not fit");
	return 0;
}

static int
read_entries(struct spam_model *m, const uint8_t *p, uint32_t n, struct err *err)
{
	uint32_t seen[3] = {0};
	for (uint32_t i = 0; i < n; i++) {
		struct entry e;
		memcpy(e.id, p, SPAM_ID_BYTES);
		p += SPAM_ID_BYTES;
		e.raw = (int32_t)get32(&p);
		e.text = (int32_t)get32(&p);
		e.label = *p++;
		if ((e.label != HAM && e.label != SPAM) || find(m, e.id) != NULL)
			return err_set(err, "the model lists a mail twice, or as nothing");
		seen[e.label]++;
		remember(m, &e);
	}
	if (seen[HAM] > m->weights.ham || seen[SPAM] > m->weights.spam)
		return err_set(err, "the model lists more mails than it has learned");
	return 0;
}

struct spam_model *
spam_model_unpack(struct slice file, struct err *err)
{
	uint32_t head[6];
	if (check_file(file, head, err) < 0)
		return NULL;
	struct spam_model *m = spam_model_new();
	m->weights.ham = head[3];
	m->weights.spam = head[4];
	const uint8_t *p = (const uint8_t *)file.p + HEAD_BYTES;
	for (size_t i = 0; i < SPAM_WEIGHTS; i++)
		m->weights.raw[i] = (int32_t)get32(&p);
	for (size_t i = 0; i < SPAM_WEIGHTS; i++)
		m->weights.text[i] = (int32_t)get32(&p);
	const uint8_t *end = (const uint8_t *)file.p + file.n - 4;
	int rc = read_entries(m, p, head[5], err);
	p += (size_t)head[5] * ENTRY_BYTES;
	if (rc == 0 && !spam_rehearsal_unpack(m->rehearsal, p, (size_t)(end - p)))
		rc = err_set(err, "the mails that the model goes over again are damaged");
	if (rc < 0)
		spam_model_free(&m);
	return m;
}
