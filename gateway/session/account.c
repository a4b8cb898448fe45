/*
 * Counts over all session processes, in shared memory; see account.h. So a limit on clients or
 * bytes holds for the gateway, not for each of its processes.
 */
#include "session/account.h"

#include <stdatomic.h>

#include "base/must.h"
#include "io/shared.h"

enum { SKETCH = 16384, MARKS = 256, DEATHS_MOST = 3, MARK_MS = 3600 * 1000 };

struct part {
	atomic_uint connections;
	atomic_llong bytes;
	atomic_ullong working; /* the client's key; 0: nobody's */
	atomic_ushort sketch[2][SKETCH];
};

struct mark {
	atomic_ullong key; /* 0: free */
	atomic_uint deaths;
	atomic_ullong until_ms; /* an hour after the first death, then after the last one */
};

struct account {
	struct part parts[ACCOUNT_PROCESSES_MOST];
	struct mark marks[MARKS];
};

struct account *
account_new(struct err *err)
{
	return shared_new(sizeof(struct account), "the shared counters", err);
}

void
account_clear(struct account *a, unsigned self)
{
	must(self < ACCOUNT_PROCESSES_MOST);
	struct part *p = &a->parts[self];
	atomic_store(&p->connections, 0);
	atomic_store(&p->bytes, 0);
	atomic_store(&p->working, 0);
	for (size_t row = 0; row < 2; row++)
		for (size_t i = 0; i < SKETCH; i++)
			if (atomic_load(&p->sketch[row][i]) != 0)
				atomic_store(&p->sketch[row][i], 0);
}

/* IPv6 counts by /64. */
static uint64_t
key_of(const struct ip *client)
{
	struct slice key = {(const char *)client->bytes, client->family == 6 ? 8 : 4};
	uint64_t h = slice_hash(key);
	return h != 0 ? h : 1;
}

static void
slots(const struct ip *client, size_t slot_out[2])
{
	uint64_t h = key_of(client);
	slot_out[0] = h % SKETCH;
	slot_out[1] = (h >> 32) % SKETCH;
}

unsigned
account_enter(struct account *a, unsigned self, const struct ip *client)
{
	size_t slot[2];
	unsigned sum[2] = {0, 0};
	slots(client, slot);
	atomic_fetch_add(&a->parts[self].connections, 1);
	for (size_t row = 0; row < 2; row++) {
		atomic_fetch_add(&a->parts[self].sketch[row][slot[row]], 1);
		for (size_t i = 0; i < ACCOUNT_PROCESSES_MOST; i++)
			sum[row] += atomic_load_explicit(
				&a->parts[i].sketch[row][slot[row]], memory_order_relaxed);
	}
	return sum[0] < sum[1] ? sum[0] : sum[1];
}

void
account_leave(struct account *a, unsigned self, const struct ip *client)
{
	size_t slot[2];
	slots(client, slot);
	atomic_fetch_sub(&a->parts[self].connections, 1);
	for (size_t row = 0; row < 2; row++)
		atomic_fetch_sub(&a->parts[self].sketch[row][slot[row]], 1);
}

unsigned
account_connections(const struct account *a)
{
	unsigned sum = 0;
	for (size_t i = 0; i < ACCOUNT_PROCESSES_MOST; i++)
		sum += atomic_load_explicit(&a->parts[i].connections, memory_order_relaxed);
	return sum;
}

void
account_bytes(struct account *a, unsigned self, int64_t change)
{
	atomic_fetch_add(&a->parts[self].bytes, change);
}

uint64_t
account_bytes_all(const struct account *a)
{
	long long sum = 0;
	for (size_t i = 0; i < ACCOUNT_PROCESSES_MOST; i++)
		sum += atomic_load_explicit(&a->parts[i].bytes, memory_order_relaxed);
	return sum > 0 ? (uint64_t)sum : 0;
}

void
account_working(struct account *a, unsigned self, const struct ip *client)
{
	uint64_t key = client != NULL && client->family != 0 ? key_of(client) : 0;
	atomic_store_explicit(&a->parts[self].working, key, memory_order_relaxed);
}

void
account_blame(struct account *a, unsigned self, uint64_t now_ms)
{
	uint64_t key = atomic_load(&a->parts[self].working);
	struct mark *m = NULL, *oldest = &a->marks[0];
	if (key == 0)
		return;
	for (size_t i = 0; i < MARKS && m == NULL; i++) {
		if (atomic_load(&a->marks[i].key) == key)
			m = &a->marks[i];
		if (atomic_load(&a->marks[i].until_ms) < atomic_load(&oldest->until_ms))
			oldest = &a->marks[i];
	}
	if (m == NULL || atomic_load(&m->until_ms) < now_ms) {
		m = m != NULL ? m : oldest;
		atomic_store(&m->deaths, 0);
		atomic_store(&m->until_ms, now_ms + MARK_MS);
		atomic_store(&m->key, key);
	}
	if (atomic_fetch_add(&m->deaths, 1) + 1 >= DEATHS_MOST)
		atomic_store(&m->until_ms, now_ms + MARK_MS);
}

bool
account_is_marked(const struct account *a, const struct ip *client, uint64_t now_ms)
{
	uint64_t key = key_of(client);
	for (size_t i = 0; client->family != 0 && i < MARKS; i++) {
		const struct mark *m = &a->marks[i];
		if (atomic_load_explicit(&m->key, memory_order_relaxed) == key)
			return atomic_load(&m->deaths) >= DEATHS_MOST &&
			       atomic_load(&m->until_ms) > now_ms;
	}
	return false;
}
