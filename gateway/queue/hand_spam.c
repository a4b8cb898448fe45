/*
 * What `postern learn` and the keeper say to each other, as bytes; see hand_spam.h. A mail is
 * some ten thousand numbers: they are copied in one piece, three bytes each.
 */
#include "queue/hand_spam.h"

#include <string.h>

#include "base/must.h"

enum {
	NUMBER_BYTES = 3,
	SET_MOST = SPAM_FEATURES_MOST * NUMBER_BYTES,
	LESSON_LEAST = 1 + SPAM_ID_BYTES + 4 + 4 + 4 + 4,
	WORD_BITS = 64,
	END = HAND_TEACHES, /* where a lesson would begin */
	MODEL_LEAST = 4 + 4 + 4 + 8 + 8 + 1,
};
_Static_assert(SPAM_WEIGHTS <= 1 << 8 * NUMBER_BYTES, "a number fits");
_Static_assert(LESSON_LEAST + 2 * SET_MOST + 4 + HAND_DOMAIN_MOST + 1 <= IPC_PAYLOAD_BYTES,
	"a lesson of any size fits");
_Static_assert(HAND_SPAM_MODELS_MOST *(MODEL_LEAST + HAND_DOMAIN_MOST) + 4 <= IPC_PAYLOAD_BYTES,
	"all models fit");

/* ---- lessons ---- */

void
hand_lessons_begin(struct slice domain, struct ipc_out *out)
{
	must(domain.n <= HAND_DOMAIN_MOST);
	ipc_put_slice(out, domain);
}

static void
put_set(struct ipc_out *out, const uint32_t *list, size_t n)
{
	char bytes[SET_MOST];
	must(n <= SPAM_FEATURES_MOST);
	for (size_t i = 0; i < n; i++) {
		uint32_t v = list[i];
		must(v < SPAM_WEIGHTS);
		bytes[NUMBER_BYTES * i] = (char)(v & 0xff);
		bytes[NUMBER_BYTES * i + 1] = (char)(v >> 8 & 0xff);
		bytes[NUMBER_BYTES * i + 2] = (char)(v >> 16);
	}
	ipc_put_slice(out, (struct slice){bytes, NUMBER_BYTES * n});
}

bool
hand_lessons_add(const struct hand_lesson *lesson, struct ipc_out *out)
{
	const struct spam_features *f = &lesson->features;
	if (buf_left(&out->buf) < 1 + LESSON_LEAST + NUMBER_BYTES * (f->n_raw + f->n_text))
		return false;
	ipc_put_u8(out, (uint8_t)lesson->teach);
	for (size_t i = 0; i < SPAM_ID_BYTES; i++)
		ipc_put_u8(out, f->id[i]);
	put_set(out, f->raw, f->n_raw);
	put_set(out, f->text, f->n_text);
	ipc_put_u32(out, (uint32_t)f->shipped);
	ipc_put_u32(out, (uint32_t)f->evidence);
	return true;
}

void
hand_lessons_end(struct ipc_out *out)
{
	ipc_put_u8(out, END);
}

/* A number that stands twice would count twice, and not be taken back as it was learned. */
static bool
is_set(const uint32_t *list, size_t n, uint64_t *seen)
{
	bool twice = false;
	for (size_t i = 0; i < n; i++) {
		uint64_t bit = UINT64_C(1) << list[i] % WORD_BITS;
		twice = twice || (seen[list[i] / WORD_BITS] & bit) != 0;
		seen[list[i] / WORD_BITS] |= bit;
	}
	for (size_t i = 0; i < n; i++)
		seen[list[i] / WORD_BITS] = 0;
	return !twice;
}

/* seen: a bit for each number there is, all 0. */
static const uint32_t *
get_set(struct ipc_in *in, struct arena *a, uint64_t *seen, size_t *n_out)
{
	struct slice bytes = ipc_get_slice(in);
	size_t n = bytes.n / NUMBER_BYTES;
	uint32_t worst = 0;
	*n_out = 0;
	if (in->bad || bytes.n % NUMBER_BYTES != 0 || n > SPAM_FEATURES_MOST) {
		in->bad = true;
		return NULL;
	}
	uint32_t *list = arena_array(a, n, sizeof(*list));
	for (size_t i = 0; i < n; i++) {
		const unsigned char *p = (const unsigned char *)bytes.p + NUMBER_BYTES * i;
		list[i] = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16;
		worst |= list[i];
	}
	if (worst >= SPAM_WEIGHTS /* a power of two */ || !is_set(list, n, seen))
		in->bad = true;
	*n_out = n;
	return list;
}

static void
get_lesson(struct ipc_in *in, struct arena *a, uint64_t *seen, struct hand_lesson *lesson)
{
	struct spam_features *f = &lesson->features;
	for (size_t i = 0; i < SPAM_ID_BYTES; i++)
		f->id[i] = ipc_get_u8(in);
	f->raw = get_set(in, a, seen, &f->n_raw);
	f->text = get_set(in, a, seen, &f->n_text);
	f->shipped = (int32_t)ipc_get_u32(in);
	f->evidence = (int32_t)ipc_get_u32(in);
}

bool
hand_lessons_unpack(struct slice payload, struct arena *a, struct hand_lessons *l)
{
	struct ipc_in in;
	unsigned teach;
	ipc_in_init(&in, payload);
	*l = (struct hand_lessons){.domain = ipc_get_slice(&in),
		.list = arena_array(a, HAND_LESSONS_MOST, sizeof(*l->list))};
	if (l->domain.n > HAND_DOMAIN_MOST)
		return false;
	uint64_t *seen = arena_array(a, SPAM_WEIGHTS / WORD_BITS, sizeof(*seen));
	while ((teach = ipc_get_enum(&in, END + 1)) != END && !in.bad) {
		if (l->n == HAND_LESSONS_MOST)
			return false;
		l->list[l->n].teach = (enum hand_teach)teach;
		get_lesson(&in, a, seen, &l->list[l->n++]);
	}
	return ipc_in_done(&in) && l->n != 0;
}

/* ---- what each did ---- */

int32_t
hand_logit(double logit)
{
	double v = logit * HAND_LOGIT_ONE;
	if (v >= HAND_LOGIT_MOST)
		return HAND_LOGIT_MOST;
	if (v <= -HAND_LOGIT_MOST)
		return -HAND_LOGIT_MOST;
	return v == v ? (int32_t)v : 0;
}

static void
put_logit(struct ipc_out *out, int32_t logit)
{
	must(logit >= -HAND_LOGIT_MOST && logit <= HAND_LOGIT_MOST);
	ipc_put_u32(out, (uint32_t)(logit + HAND_LOGIT_MOST));
}

static int32_t
get_logit(struct ipc_in *in)
{
	uint32_t v = ipc_get_u32(in);
	if (v > 2 * HAND_LOGIT_MOST)
		in->bad = true;
	return in->bad ? 0 : (int32_t)v - HAND_LOGIT_MOST;
}

void
hand_learned_pack(const struct hand_learned *list, size_t n, struct ipc_out *out)
{
	must(n <= HAND_LESSONS_MOST);
	ipc_put_u32(out, (uint32_t)n);
	for (size_t i = 0; i < n; i++) {
		ipc_put_u8(out, (uint8_t)list[i].result);
		put_logit(out, list[i].raw);
		put_logit(out, list[i].text);
	}
}

bool
hand_learned_unpack(
	struct slice payload, struct hand_learned list_out[HAND_LESSONS_MOST], size_t *n_out)
{
	struct ipc_in in;
	ipc_in_init(&in, payload);
	uint32_t n = ipc_get_count(&in, HAND_LESSONS_MOST, 9);
	for (uint32_t i = 0; i < n; i++) {
		list_out[i].result = (enum spam_learn)ipc_get_enum(&in, SPAM_UNKNOWN + 1);
		list_out[i].raw = get_logit(&in);
		list_out[i].text = get_logit(&in);
	}
	*n_out = n;
	return ipc_in_done(&in);
}

/* ---- on disk ---- */

void
hand_spam_done_pack(const struct hand_spam_done *d, struct ipc_out *out)
{
	ipc_put_bool(out, d->stored);
	ipc_put_slice(out, slice_first(d->why, HAND_WHY_WORDS_MOST));
}

bool
hand_spam_done_unpack(struct slice payload, struct hand_spam_done *d)
{
	struct ipc_in in;
	ipc_in_init(&in, payload);
	d->stored = ipc_get_bool(&in);
	d->why = ipc_get_slice(&in);
	return ipc_in_done(&in) && d->why.n <= HAND_WHY_WORDS_MOST;
}

/* ---- what there is ---- */

void
hand_spam_models_pack(const struct hand_spam_model *list, size_t n, struct ipc_out *out)
{
	must(n != 0 && n <= HAND_SPAM_MODELS_MOST);
	ipc_put_u32(out, (uint32_t)n);
	for (size_t i = 0; i < n; i++) {
		must(list[i].domain.n <= HAND_DOMAIN_MOST);
		ipc_put_slice(out, list[i].domain);
		ipc_put_u32(out, list[i].ham);
		ipc_put_u32(out, list[i].spam);
		ipc_put_u64(out, list[i].bytes);
		ipc_put_u64(out, list[i].taught_ms);
		ipc_put_bool(out, list[i].stored);
	}
}

bool
hand_spam_models_unpack(struct slice payload,
	struct hand_spam_model list_out[HAND_SPAM_MODELS_MOST], size_t *n_out)
{
	struct ipc_in in;
	bool right = true;
	ipc_in_init(&in, payload);
	uint32_t n = ipc_get_count(&in, HAND_SPAM_MODELS_MOST, MODEL_LEAST);
	for (uint32_t i = 0; i < n; i++) {
		struct hand_spam_model *m = &list_out[i];
		m->domain = ipc_get_slice(&in);
		m->ham = ipc_get_u32(&in);
		m->spam = ipc_get_u32(&in);
		m->bytes = ipc_get_u64(&in);
		m->taught_ms = ipc_get_u64(&in);
		m->stored = ipc_get_bool(&in);
		right = right && m->domain.n <= HAND_DOMAIN_MOST &&
			(m->domain.n == 0) == (i == 0);
	}
	*n_out = n;
	return ipc_in_done(&in) && right && n != 0;
}
