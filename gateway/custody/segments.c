/*
 * The store on local files, as the loop sees it: calls become jobs for the two threads, answers
 * come back over an eventfd, the index follows what is on stable storage. See segments.h for
 * what it promises, store_priv.h for who owns what.
 */
#include "custody/segments.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/must.h"
#include "custody/files.h"
#include "custody/store_priv.h"

enum { READ_MOST = 1024 * 1024 };
static const uint64_t segment_bytes_usual = 64 * 1024 * 1024;

static struct store *
store_of(struct custody *c)
{
	return (struct store *)c; /* its first member */
}

/* An answer that is known already still comes from the loop. */
static void
answer_later(struct store *s, struct job *j, enum custody_result r)
{
	j->result = r;
	job_done(s, j);
}

static uint64_t
change_bytes(const struct custody_change *c)
{
	must(c->envelope.n <= CUSTODY_ENVELOPE_MOST && c->note.n <= CUSTODY_NOTE_MOST);
	bool put = c->op == CUSTODY_PUT;
	return record_bytes(put ? (uint32_t)c->envelope.n : 0,
		c->op != CUSTODY_DROP ? (uint32_t)c->note.n : 0,
		put && c->body != NULL ? c->body->bytes : 0);
}

static void
seg_commit(struct custody *custody, const struct custody_change *changes, size_t n,
	custody_commit_fn *fn, void *arg)
{
	struct store *s = store_of(custody);
	must(n <= CUSTODY_CHANGES_MOST);
	struct job *j = job_new(JOB_COMMIT, arg);
	struct job_commit *c = &j->u.commit;
	c->fn = fn;
	c->n = n;
	c->changes = mem_array(n, sizeof(*changes));
	c->at = mem_array(n, sizeof(*c->at));
	c->bytes = n == 0 ? DROP_BYTES : 0;
	for (size_t i = 0; i < n; i++) {
		c->changes[i] = changes[i];
		c->bytes += change_bytes(&changes[i]);
		c->put = c->put || changes[i].op == CUSTODY_PUT;
	}
	s->open_calls++;
	if (account_admit(s, c) != CUSTODY_OK) {
		c->bytes = 0; /* nothing is promised to it */
		c->n = 0;
		err_set(&j->why, "the spool is full");
		answer_later(s, j, CUSTODY_FULL);
		return;
	}
	for (size_t i = 0; i < n; i++)
		state_busy(s, &c->changes[i].id, 1);
	job_queue(s, &s->to_writer, j);
}

static void
seg_resolve(struct custody *custody, const struct custody_id *ids, size_t n,
	custody_resolve_fn *fn, void *arg)
{
	struct store *s = store_of(custody);
	struct job *j = job_new(JOB_RESOLVE, arg);
	j->u.resolve.fn = fn;
	j->u.resolve.n = n;
	j->u.resolve.ids = mem_array(n, sizeof(*ids));
	if (n > 0)
		memcpy(j->u.resolve.ids, ids, n * sizeof(*ids));
	s->open_calls++;
	answer_later(s, j, CUSTODY_OK);
}

static const struct entry *
there(const struct store *s, const struct custody_id *id)
{
	const struct entry *e = index_find(&s->index, id);
	return e != NULL && e->put_in != 0 ? e : NULL;
}

static void
seg_body_read(struct custody *custody, const struct custody_id *id, uint64_t offset,
	size_t length, custody_body_fn *fn, void *arg)
{
	struct store *s = store_of(custody);
	const struct entry *e = there(s, id);
	must(length <= READ_MOST);
	struct job *j = job_new(JOB_BODY, arg);
	struct job_body *b = &j->u.body;
	b->fn = fn;
	b->offset = offset;
	b->length = length;
	s->open_calls++;
	if (e == NULL) {
		b->length = 0;
		answer_later(s, j, CUSTODY_FAILED);
		return;
	}
	b->place = state_place(s, e);
	if (offset >= b->place.body_bytes)
		b->offset = b->place.body_bytes;
	job_queue(s, &s->to_reader, j);
}

static struct job *
items_job(size_t most, custody_scan_fn *fn, void *arg)
{
	struct job *j = job_new(JOB_ITEMS, arg);
	j->u.items.fn = fn;
	j->u.items.end = true;
	j->u.items.places = mem_array(most, sizeof(struct item_place));
	j->u.items.after = mem_array(most, sizeof(uint32_t));
	return j;
}

static void
seg_get(struct custody *custody, const struct custody_id *id, custody_scan_fn *fn, void *arg)
{
	struct store *s = store_of(custody);
	const struct entry *e = there(s, id);
	struct job *j = items_job(1, fn, arg);
	struct job_items *i = &j->u.items;
	i->one = true;
	s->open_calls++;
	if (e == NULL) {
		answer_later(s, j, CUSTODY_OK);
		return;
	}
	i->places[i->n++] = state_place(s, e);
	job_queue(s, &s->to_reader, j);
}

static void
seg_scan(struct custody *custody, uint64_t from, size_t most, custody_scan_fn *fn, void *arg)
{
	struct store *s = store_of(custody);
	must(most > 0 && most <= CUSTODY_SCAN_MOST);
	struct job *j = items_job(most, fn, arg);
	struct job_items *i = &j->u.items;
	s->open_calls++;
	uint64_t number = from;
	for (; number < s->index.top && i->n < most; number++) {
		const struct entry *e = index_at(&s->index, (uint32_t)number);
		if (e == NULL)
			continue;
		i->after[i->n] = (uint32_t)number + 1;
		i->places[i->n++] = state_place(s, e);
	}
	i->next = number;
	i->end = number >= s->index.top;
	if (i->n == 0)
		answer_later(s, j, CUSTODY_OK);
	else
		job_queue(s, &s->to_reader, j);
}

static void
seg_space(struct custody *custody, struct custody_space *space_out)
{
	account_space(store_of(custody), space_out);
}

/* --- answers */

static void
apply_changes(struct store *s, const struct job *j)
{
	static const enum record_op ops[] = {[CUSTODY_PUT] = RECORD_PUT,
		[CUSTODY_NOTE] = RECORD_NOTE,
		[CUSTODY_DROP] = RECORD_DROP};
	const struct job_commit *c = &j->u.commit;
	for (size_t i = 0; i < c->n; i++) {
		const struct custody_change *change = &c->changes[i];
		bool put = change->op == CUSTODY_PUT;
		struct placed p = {.id = change->id,
			.at = c->at[i],
			.envelope_bytes = put ? (uint32_t)change->envelope.n : 0,
			.note_bytes = (uint32_t)change->note.n,
			.body_bytes = put && change->body != NULL ? change->body->bytes : 0,
			.op = ops[change->op]};
		if (j->result == CUSTODY_OK)
			state_apply(s, c->in, &p);
		state_busy(s, &change->id, -1);
	}
}

static void
log_failure(const struct job *j, const char *what)
{
	struct log_line l;
	log_begin(&l, EV_SPOOL, NULL);
	log_text(&l, "state", what);
	log_text(&l, "error", j->why.text);
	log_end(&l);
}

static void
answer_commit(struct store *s, struct job *j)
{
	struct job_commit *c = &j->u.commit;
	pthread_mutex_lock(&s->lock);
	s->account.queued_bytes -= c->bytes;
	pthread_mutex_unlock(&s->lock);
	if (j->result == CUSTODY_FAILED)
		s->failure = j->why;
	if (c->fn == NULL) {
		collect_copied(s, j);
		return;
	}
	apply_changes(s, j);
	s->open_calls--;
	c->fn(j->arg, j->result, slice_of(j->why.text));
}

static void
answer_resolve(struct store *s, struct job *j)
{
	size_t n = j->u.resolve.n;
	bool *is_there = mem_array(n, sizeof(*is_there));
	for (size_t i = 0; i < n; i++)
		is_there[i] = there(s, &j->u.resolve.ids[i]) != NULL;
	s->open_calls--;
	j->u.resolve.fn(j->arg, j->result, is_there, n);
	mem_free(is_there);
}

static void
answer_items(struct store *s, struct job *j)
{
	struct job_items *i = &j->u.items;
	if (i->damaged > 0)
		log_failure(j, "damaged");
	s->open_calls--;
	i->fn(j->arg, j->result, i->items, i->n_items, i->next, i->end);
}

static void
sealed(struct store *s, const struct job *j)
{
	struct segment *g = state_segment(s, j->u.segment.sequence);
	g->end = j->u.segment.end;
	g->bytes = j->u.segment.bytes;
	g->sealed = true;
	g->failed = j->u.segment.failed;
}

static void
answer(struct store *s, struct job *j)
{
	switch (j->kind) {
	case JOB_COMMIT: answer_commit(s, j); break;
	case JOB_RESOLVE: answer_resolve(s, j); break;
	case JOB_BODY:
		if (j->why.text[0] != '\0')
			log_failure(j, "damaged");
		s->open_calls--;
		j->u.body.fn(j->arg, j->result,
			j->result == CUSTODY_OK
				? (struct slice){j->u.body.bytes, j->u.body.length}
				: SLICE_NONE);
		break;
	case JOB_ITEMS: answer_items(s, j); break;
	case JOB_SIDECAR:
		if (j->result != CUSTODY_OK)
			log_failure(j, "no sidecar");
		break;
	case JOB_LOAD: collect_loaded(s, j); break;
	case JOB_FORGET: account_refresh(s, true); break;
	case JOB_OPENED:
		state_segment_add(s, j->u.segment.sequence, j->u.segment.generation)->bytes =
			j->u.segment.bytes;
		account_refresh(s, true);
		break;
	case JOB_SEALED: sealed(s, j); break;
	}
}

/* Those that are there now: what their callbacks ask for has its turn later. False: one of
 * them closed the store. */
static bool
answer_all(struct store *s)
{
	bool gone = false, *above = s->gone;
	s->gone = &gone;
	pthread_mutex_lock(&s->lock);
	size_t n = s->n_done;
	pthread_mutex_unlock(&s->lock);
	for (struct job *j; n > 0 && (j = job_answered(s)) != NULL; n--) {
		answer(s, j);
		job_free(j);
		if (gone) {
			if (above != NULL)
				*above = true;
			return false;
		}
	}
	s->gone = above;
	job_wake(s);
	account_log(s);
	collect_wake(s);
	return true;
}

static void
on_wake(void *arg, unsigned ready)
{
	struct store *s = arg;
	uint64_t count;
	(void)ready;
	if (read(s->wake_fd, &count, sizeof(count)) < 0)
		must(errno == EAGAIN || errno == EINTR);
	answer_all(s);
}

/* --- life */

static void
lane_start(struct store *s, struct lane *lane, void *(*main)(void *))
{
	/* Signals are the loop's. */
	sigset_t all, before;
	sigfillset(&all);
	must(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
	must(pthread_create(&lane->thread, NULL, main, s) == 0);
	must(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
}

static void
lane_stop(struct store *s, struct lane *lane)
{
	pthread_mutex_lock(&s->lock);
	lane->stop = true;
	pthread_cond_signal(&lane->more);
	pthread_mutex_unlock(&s->lock);
	must(pthread_join(lane->thread, NULL) == 0);
}

static void
store_free(struct store *s)
{
	loop_watch_free(&s->watch);
	collect_fini(s);
	for (size_t i = 0; i < s->n_segments; i++)
		mem_free(s->segments[i]);
	mem_free(s->segments);
	index_fini(&s->index);
	placed_fini(&s->writer.list);
	buf_fini(&s->writer.scratch);
	mem_free(s->writer.buf);
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->answered);
	pthread_cond_destroy(&s->to_writer.more);
	pthread_cond_destroy(&s->to_reader.more);
	if (s->wake_fd >= 0)
		close(s->wake_fd);
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	mem_free(s);
}

static void
seg_close(struct custody *custody)
{
	struct store *s = store_of(custody);
	s->closing = true;
	loop_timer_clear(&s->collect.timer);
	while (answer_all(s) && s->open_calls > 0) {
		pthread_mutex_lock(&s->lock);
		while (s->done.first == NULL)
			pthread_cond_wait(&s->answered, &s->lock);
		pthread_mutex_unlock(&s->lock);
	}
	lane_stop(s, &s->to_writer);
	lane_stop(s, &s->to_reader); /* it may still have had a sidecar to write */
	while (s->done.first != NULL)
		answer_all(s);
	if (s->gone != NULL)
		*s->gone = true;
	store_free(s);
}

static const struct custody_ops segments_ops = {.commit = seg_commit,
	.resolve = seg_resolve,
	.body_read = seg_body_read,
	.get = seg_get,
	.scan = seg_scan,
	.space = seg_space,
	.close = seg_close};

static struct store *
store_new(const struct segments_config *config)
{
	struct store *s = MEM_NEW(struct store);
	s->custody.ops = &segments_ops;
	s->loop = config->loop;
	s->dir_fd = config->dir_fd;
	s->segment_bytes =
		config->segment_bytes != 0 ? config->segment_bytes : segment_bytes_usual;
	s->kept_bytes = config->kept_bytes != 0 ? config->kept_bytes : 4 * s->segment_bytes;
	s->lock_fd = s->writer.fd = s->writer.source_fd = -1;
	s->writer.buf = mem_new(WRITER_BUFFER);
	buf_init(&s->writer.scratch, RECORD_BLOCK);
	must(pthread_mutex_init(&s->lock, NULL) == 0);
	must(pthread_cond_init(&s->answered, NULL) == 0);
	must(pthread_cond_init(&s->to_writer.more, NULL) == 0);
	must(pthread_cond_init(&s->to_reader.more, NULL) == 0);
	job_list_init(&s->done);
	job_list_init(&s->to_writer.jobs);
	job_list_init(&s->to_reader.jobs);
	index_init(&s->index);
	collect_init(s);
	s->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return s;
}

struct custody *
segments_open(const struct segments_config *config, struct err *err)
{
	struct store *s = store_new(config);
	if (s->wake_fd < 0)
		err_sys(err, "make an eventfd");
	if (s->wake_fd < 0 || (s->lock_fd = files_lock(s->dir_fd, err)) < 0 ||
		recover(s, err) < 0) {
		store_free(s);
		return NULL;
	}
	account_refresh(s, true);
	if (writer_open(s, 0, err) < 0) {
		store_free(s);
		return NULL;
	}
	s->watch = loop_watch_new(s->loop, s->wake_fd, on_wake, s);
	loop_watch_set(s->watch, LOOP_READ);
	answer_all(s); /* what the opening told */
	lane_start(s, &s->to_writer, writer_main);
	lane_start(s, &s->to_reader, reader_main);
	return &s->custody;
}
