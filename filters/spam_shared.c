/*
 * Weights in memory that processes share. Each model has two places and two numbers: `begun`,
 * raised before the keeper writes, and `done`, raised after; the place in use is that of
 * `done`. A reader that finds begun no more than one above what it read has read a place that
 * nobody touched. Numbers and weights are atomics: written with release and read with acquire,
 * a weight of a later write cannot be seen without its `begun`.
 */
#include "filters/spam_shared.h"

#include <stdatomic.h>
#include <string.h>

#include "base/must.h"
#include "filters/spam_weigh.h"

enum { NAME_BYTES = 256, TRIES = 1000 };

struct place {
	atomic_uint ham, spam;
	atomic_int raw[SPAM_WEIGHTS], text[SPAM_WEIGHTS];
};

struct shared_model {
	char name[NAME_BYTES]; /* stands for good once `done` is raised */
	atomic_uint begun, done;
	struct place places[2];
};

struct spam_shared {
	struct shared_model models[1 + SPAM_DOMAINS_MOST]; /* the site's own first */
};

_Static_assert(sizeof(atomic_int) == sizeof(int32_t) && ATOMIC_INT_LOCK_FREE == 2,
	"weights are shared between processes: no lock stands beside them");

size_t
spam_shared_bytes(void)
{
	return sizeof(struct spam_shared);
}

static bool
names(const struct shared_model *m, struct slice domain)
{
	return memchr(m->name, 0, sizeof(m->name)) == m->name + domain.n &&
	       memcmp(m->name, domain.p, domain.n) == 0;
}

static void
store(atomic_int *to, const int32_t *from)
{
	for (size_t i = 0; i < SPAM_WEIGHTS; i++)
		atomic_store_explicit(&to[i], from[i], memory_order_release);
}

/* Its place, or the first one that nothing was published in yet; NULL: all are taken. */
static struct shared_model *
place_for(struct spam_shared *s, struct slice domain)
{
	if (domain.n == 0)
		return &s->models[0];
	must(domain.n < NAME_BYTES && memchr(domain.p, 0, domain.n) == NULL);
	for (size_t i = 1; i <= SPAM_DOMAINS_MOST; i++) {
		struct shared_model *m = &s->models[i];
		if (atomic_load_explicit(&m->done, memory_order_relaxed) == 0) {
			memset(m->name, 0, sizeof(m->name));
			memcpy(m->name, domain.p, domain.n);
			return m;
		}
		if (names(m, domain))
			return m;
	}
	return NULL;
}

bool
spam_shared_publish(struct spam_shared *s, struct slice domain, const struct spam_weights *w)
{
	struct shared_model *m = place_for(s, domain);
	if (m == NULL)
		return false;
	unsigned next = atomic_load_explicit(&m->done, memory_order_relaxed) + 1;
	struct place *p = &m->places[next & 1];
	atomic_store_explicit(&m->begun, next, memory_order_release);
	atomic_store_explicit(&p->ham, w->ham, memory_order_release);
	atomic_store_explicit(&p->spam, w->spam, memory_order_release);
	store(p->raw, w->raw);
	store(p->text, w->text);
	atomic_store_explicit(&m->done, next, memory_order_release);
	return true;
}

static double
weigh(const atomic_int *weights, const uint32_t *places, size_t n)
{
	int64_t sum = 0;
	for (size_t i = 0; i < n; i++)
		sum += atomic_load_explicit(&weights[places[i]], memory_order_acquire);
	return spam_logit(sum, n);
}

/* False: the place was written anew meanwhile. */
static bool
read_place(const struct shared_model *m, unsigned done, const struct spam_features *f,
	struct spam_opinion *out)
{
	const struct place *p = &m->places[done & 1];
	out->ham = atomic_load_explicit(&p->ham, memory_order_acquire);
	out->spam = atomic_load_explicit(&p->spam, memory_order_acquire);
	out->logits.raw = weigh(p->raw, f->raw, f->n_raw);
	out->logits.text = weigh(p->text, f->text, f->n_text);
	return atomic_load_explicit(&m->begun, memory_order_acquire) - done < 2;
}

/* The model that was published under that name, or NULL. */
static const struct shared_model *
published(const struct spam_shared *s, struct slice domain)
{
	if (domain.n == 0)
		return &s->models[0];
	for (size_t i = 1; i <= SPAM_DOMAINS_MOST; i++) {
		const struct shared_model *m = &s->models[i];
		if (atomic_load_explicit(&m->done, memory_order_acquire) == 0)
			return NULL;
		if (domain.n < NAME_BYTES && names(m, domain))
			return m;
	}
	return NULL;
}

bool
spam_shared_ask(const struct spam_shared *s, struct slice domain, const struct spam_features *f,
	struct spam_opinion *out)
{
	const struct shared_model *m = s != NULL ? published(s, domain) : NULL;
	for (int i = 0; m != NULL && i < TRIES; i++) {
		unsigned done = atomic_load_explicit(&m->done, memory_order_acquire);
		if (done == 0)
			return false;
		if (read_place(m, done, f, out))
			return out->ham + out->spam > 0;
	}
	return false;
}
