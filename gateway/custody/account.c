/*
 * Is there room: what the file system has for us, what is free in our own files, what is
 * promised to commits on their way. PUT stops while enough is left for DROP, NOTE and
 * collection, so that a full store can empty itself.
 */
#include <string.h>
#include <sys/statvfs.h>

#include "base/clock.h"
#include "base/log.h"
#include "custody/store_priv.h"

enum { CHECK_MS = 250 };

void
account_refresh(struct store *s, bool at_once)
{
	struct statvfs v;
	uint64_t now = clock_ms();
	if (!at_once && now - s->account.checked_ms < CHECK_MS)
		return;
	if (fstatvfs(s->dir_fd, &v) < 0)
		return; /* what was known before stays */
	pthread_mutex_lock(&s->lock);
	s->account.fs_free = (uint64_t)v.f_bavail * v.f_frsize;
	pthread_mutex_unlock(&s->lock);
	s->account.checked_ms = now; /* the loop's alone */
}

/* Under the lock: bytes for records yet to come, `need` of them in one piece. */
static uint64_t
room(const struct store *s, uint64_t need)
{
	const struct account *a = &s->account;
	uint64_t n = a->fs_free + a->n_free * s->segment_bytes;
	if (a->active_room >= need + a->queued_bytes)
		n += a->active_room;
	return n > a->queued_bytes ? n - a->queued_bytes : 0;
}

enum custody_result
account_admit(struct store *s, const struct job_commit *c)
{
	account_refresh(s, false);
	pthread_mutex_lock(&s->lock);
	uint64_t need = c->bytes + (c->put ? s->kept_bytes : 0);
	bool fits = room(s, c->bytes) >= need;
	if (c->put)
		s->account.refused = !fits;
	/* What changes nothing or makes room goes as far as there is any: the writer knows. */
	if (fits || !c->put)
		s->account.queued_bytes += c->bytes;
	pthread_mutex_unlock(&s->lock);
	return fits || !c->put ? CUSTODY_OK : CUSTODY_FULL;
}

/* The last PUT was refused, and there is not much more room since. */
static bool
is_full(const struct store *s)
{
	uint64_t n = room(s, 0), kept = s->kept_bytes;
	return n <= kept || (s->account.refused && n < kept / 4 * 5);
}

bool
account_short(struct store *s)
{
	pthread_mutex_lock(&s->lock);
	bool is_short = room(s, 0) < 2 * s->kept_bytes;
	pthread_mutex_unlock(&s->lock);
	return is_short;
}

void
account_space(struct store *s, struct custody_space *space_out)
{
	account_refresh(s, false);
	*space_out = (struct custody_space){.items = s->items,
		.live_bytes = s->live_bytes,
		.kept_bytes = s->kept_bytes,
		.collected_bytes = s->collect.copied_bytes,
		.memory_bytes = index_memory(&s->index)};
	for (size_t i = 0; i < s->n_segments; i++)
		space_out->used_bytes += s->segments[i]->bytes;
	pthread_mutex_lock(&s->lock);
	const struct account *a = &s->account;
	space_out->used_bytes += a->n_free * s->segment_bytes;
	space_out->free_bytes = a->fs_free;
	space_out->full = is_full(s);
	space_out->failing = a->failing;
	space_out->syncs = a->syncs;
	space_out->failures = a->failures;
	pthread_mutex_unlock(&s->lock);
}

static void
log_state(const char *what, uint64_t free_bytes, const char *error)
{
	struct log_line l;
	log_begin(&l, EV_SPOOL, NULL);
	log_text(&l, "state", what);
	log_number(&l, "free", (int64_t)free_bytes);
	if (error != NULL)
		log_text(&l, "error", error);
	log_end(&l);
}

void
account_log(struct store *s)
{
	pthread_mutex_lock(&s->lock);
	/* Told once, not at each mail around the mark. */
	bool full = is_full(s) || (s->was_full && room(s, 0) < s->kept_bytes / 4 * 5);
	bool failing = s->account.failing;
	uint64_t free_bytes = s->account.fs_free;
	pthread_mutex_unlock(&s->lock);
	if (full != s->was_full)
		log_state(full ? "full" : "room again", free_bytes, NULL);
	if (failing != s->was_failing)
		log_state(failing ? "failing" : "works again", free_bytes,
			failing ? s->failure.text : NULL);
	s->was_full = full;
	s->was_failing = failing;
}
