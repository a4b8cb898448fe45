/*
 * The engine on local files: the calls of state.h. Every operation is done on an entry of the
 * table in memory, which is read from disk where it is not there; what changed goes to the
 * writer at the next flush. A disk that fails costs no operation: the table counts on, and the
 * disk is opened anew, soon and then ever more seldom.
 */
#include "state/local.h"

#include <errno.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/must.h"
#include "state/local_priv.h"

enum {
	HOT_MOST = 1000 * 1000,
	ENTRIES_MOST = 2 * 1000 * 1000,
	TIDY_LEAST = 1024,
	TIDY_PART = 64,
	PAUSE_MOST = 64
};
static const uint64_t map_bytes = UINT64_C(1) << 31;

static struct local *
local_of(struct state *s)
{
	return (struct local *)s; /* its first member */
}

void
local_moment(struct local *l, struct moment *at_out)
{
	int64_t ms =
		l->config.wall_ms != NULL ? l->config.wall_ms(l->config.arg) : clock_wall_ms();
	*at_out = (struct moment){ms > 0 ? (uint64_t)ms : 0, &l->calendar};
	calendar_set(&l->calendar, at_out->ms);
}

/* ---- entries ---- */

void
local_read_failed(struct local *l, int code)
{
	l->broken = true;
	l->broken_code = code;
}

/* The record of a key on disk into e. False: there is none, or it cannot be read now. */
static bool
load(struct local *l, enum state_space space, struct slice key, MDB_val *record_out)
{
	MDB_txn *txn;
	if (l->disk.env == NULL || l->broken)
		return false;
	int code = l->reading ? 0 : disk_read_begin(&l->disk, &txn);
	l->reading = code == 0;
	if (code == 0)
		code = disk_read(&l->disk, l->disk.reader, space, key, record_out);
	if (code != 0 && code != MDB_NOTFOUND)
		local_read_failed(l, code);
	return code == 0;
}

static struct entry *
spare_entry(struct local *l, struct entry **spare, enum state_space space, struct slice key)
{
	if (*spare == NULL)
		*spare = mem_new(sizeof(**spare) + KEY_MOST);
	entry_clear(*spare);
	memcpy((*spare)->key, key.p, key.n);
	(*spare)->key_n = (uint16_t)key.n;
	(*spare)->space = (uint8_t)space;
	l->lost++;
	return *spare;
}

/* NULL: there is none, and none is to be made. */
static struct entry *
find(struct local *l, enum state_space space, struct slice key, bool make, struct entry **spare)
{
	MDB_val record;
	struct entry *e = hot_find(&l->hot, space, key);
	if (e != NULL)
		return e;
	bool there = load(l, space, key, &record);
	if (!there && !make)
		return NULL;
	e = hot_add(&l->hot, space, key);
	if (e == NULL)
		e = spare_entry(l, spare, space, key);
	if (there)
		entry_unpack((struct slice){record.mv_data, record.mv_size}, e);
	return e;
}

static void
keep(struct local *l, struct entry *e)
{
	if (e == NULL)
		return;
	e->pinned = false;
	if (e->touched && e != l->spare[0] && e != l->spare[1])
		hot_changed(&l->hot, e);
	e->touched = false;
}

/* Passers are keys of their space like all others, apart from the tuples. */
static struct entry *
find_passer(struct local *l, const struct state_op *op)
{
	static const char before[] = "passer ";
	enum { BEFORE = sizeof(before) - 1 };
	char key[KEY_MOST];
	_Static_assert(BEFORE + STATE_KEY_MOST <= KEY_MOST, "they fit");
	if (op->passer.n == 0 || (op->kind != STATE_SEEN && op->kind != STATE_PASS))
		return NULL;
	memcpy(key, before, BEFORE);
	memcpy(key + BEFORE, op->passer.p, op->passer.n);
	return find(l, op->space, (struct slice){key, BEFORE + op->passer.n},
		op->kind == STATE_PASS, &l->spare[1]);
}

static void
apply(struct local *l, const struct state_op *op, const struct moment *at,
	struct state_answer *answer_out)
{
	bool makes = op->kind == STATE_SET || op->kind == STATE_TAKE ||
		     op->kind == STATE_COUNT || op->kind == STATE_SEEN ||
		     op->kind == STATE_PASS;
	*answer_out = (struct state_answer){.status = STATE_FAILED};
	if (!state_op_ok(op))
		return;
	struct entry *passer = find_passer(l, op);
	if (passer != NULL)
		passer->pinned = true;
	struct entry *e = find(l, op->space, op->key, makes, &l->spare[0]);
	answer_out->status = STATE_OK;
	if (e != NULL)
		entry_apply(e, passer, op, at, answer_out);
	keep(l, e);
	keep(l, passer);
}

/* ---- writing ---- */

static void
tell(const char *what, const struct err *err)
{
	struct log_line l;
	log_begin(&l, EV_STATE, NULL);
	log_text(&l, "what", what);
	if (err != NULL)
		log_text(&l, "error", err->text);
	log_end(&l);
}

static int
failed(struct local *l, struct err *err)
{
	if (!l->told)
		tell("not written; counted in memory alone", err);
	l->told = true;
	/* Once more at once, then ever more seldom: a try reads the whole file, or copies all
	 * that waits. */
	l->pause = l->next_pause;
	l->next_pause = l->next_pause == 0 ? 1 : 2 * l->next_pause;
	if (l->next_pause > PAUSE_MOST)
		l->next_pause = PAUSE_MOST;
	return -1;
}

/* Everything in memory is to be written, where the file that is open now has nothing. */
static int
open_again(struct local *l, struct err *err)
{
	bool fresh;
	disk_close(&l->disk);
	if (l->broken && (disk_is_damage(l->broken_code) || l->broken_code == MDB_MAP_FULL))
		disk_set_aside(&l->disk, mdb_strerror(l->broken_code));
	l->broken = false;
	if (disk_open(&l->disk, &fresh, err) < 0)
		return failed(l, err);
	if (fresh)
		hot_all_changed(&l->hot);
	return 0;
}

/* What became of the batch. 0, or -1 and err. */
static int
take_outcome(struct local *l, struct err *err)
{
	struct writer *w = &l->writer;
	if (!l->under_way)
		return 0;
	l->under_way = false;
	for (size_t i = 0; i < w->n_records; i++) {
		w->flight[i]->writing = false;
		if (w->code != 0)
			hot_changed(&l->hot, w->flight[i]);
	}
	w->n_records = w->n_bytes = 0;
	l->disk_entries = w->disk_entries;
	if (w->code == 0) {
		if (l->told)
			tell("written again", NULL);
		l->told = false;
		l->next_pause = 0;
		return 0;
	}
	l->failures++;
	disk_err(err, w->code, "write");
	if (w->code != ENOSPC && w->code != EDQUOT)
		local_read_failed(l, w->code);
	return failed(l, err);
}

static void
begin_write(struct local *l, const struct moment *at)
{
	struct hot *h = &l->hot;
	hot_tidy(h, h->n / TIDY_PART + TIDY_LEAST, at);
	for (size_t i = 0; i < h->n_changed; i++) {
		struct entry *e = h->changed[i];
		writer_add(&l->writer, e, at);
		e->changed = false;
		e->writing = true;
	}
	h->n_changed = 0;
	l->under_way = true;
	writer_go(&l->writer, at);
}

static int
local_flush(struct state *s, struct err *err)
{
	struct local *l = local_of(s);
	struct moment at;
	if (l->under_way && writer_is_busy(&l->writer))
		return 0; /* a slow disk: the next flush has it all */
	int result = take_outcome(l, err);
	local_moment(l, &at);
	if (l->lost != 0 && !l->lost_told)
		tell("no room in memory; some new keys are not counted until there is", NULL);
	l->lost_told = l->lost != 0;
	l->lost = 0;
	if (l->pause > 0) {
		l->pause--;
		return err_set(err, "state: the disk is left alone for a while");
	}
	if ((l->disk.env == NULL || l->broken) && open_again(l, err) < 0)
		return -1;
	begin_write(l, &at);
	return result;
}

int
local_settle(struct state *s, struct err *err)
{
	struct local *l = local_of(s);
	if (l->under_way)
		writer_wait(&l->writer);
	return take_outcome(l, err);
}

/* ---- the calls ---- */

/* Values are copied: an operation behind it may change what one before it has read. */
static void
keep_value(struct state_answer *a, struct arena **values)
{
	if (a->value.n == 0)
		return;
	if (*values == NULL)
		*values = arena_new((size_t)STATE_OPS_MOST * 2 * STATE_VALUE_MOST);
	a->value = arena_slice(*values, a->value);
}

static void
local_ask(struct state *s, const struct state_op *ops, size_t n, state_fn *fn, void *arg)
{
	struct local *l = local_of(s);
	struct state_answer answers[STATE_OPS_MOST];
	struct arena *values = NULL;
	struct moment at;
	struct err err;
	must(n <= STATE_OPS_MOST);
	local_moment(l, &at);
	for (size_t i = 0; i < n; i++) {
		if (!state_op_is_due(ops, answers, i)) {
			answers[i] = (struct state_answer){.status = STATE_SKIPPED};
			continue;
		}
		apply(l, &ops[i], &at, &answers[i]);
		keep_value(&answers[i], &values);
	}
	if (l->reading)
		disk_read_end(&l->disk);
	l->reading = false;
	/* Before the table is full of what waits for the writer. */
	if (l->hot.n_changed > l->hot.most / 4 && l->disk.env != NULL && !l->broken &&
		l->pause == 0)
		(void)local_flush(s, &err);
	if (fn != NULL)
		fn(arg, answers, n);
	arena_free(&values);
}

void
local_figures(struct state *s, struct local_figures *f)
{
	struct local *l = local_of(s);
	size_t in_flight = 0;
	if (l->under_way)
		writer_wait(&l->writer);
	for (size_t i = 0; l->under_way && i < l->writer.n_records; i++)
		in_flight += !l->writer.flight[i]->changed;
	*f = (struct local_figures){.hot = l->hot.n,
		.changed = l->hot.n_changed + in_flight,
		.disk = l->writer.disk_entries,
		.writes = l->writer.writes,
		.failures = l->failures,
		.evicted = l->writer.evicted,
		.on_disk = l->disk.env != NULL};
}

static void
local_close(struct state **sp)
{
	struct state *s = *sp;
	struct err err;
	if (s == NULL)
		return;
	struct local *l = local_of(s);
	*sp = NULL;
	(void)local_settle(s, &err);
	l->pause = 0;
	if (local_flush(s, &err) == 0)
		(void)local_settle(s, &err);
	writer_stop(&l->writer);
	if (l->disk.env != NULL)
		(void)mdb_env_sync(l->disk.env, 1);
	disk_close(&l->disk);
	hot_fini(&l->hot);
	for (size_t i = 0; i < 2; i++) {
		if (l->spare[i] != NULL)
			entry_clear(l->spare[i]);
		mem_free(l->spare[i]);
	}
	(void)flock(l->config.dir_fd, LOCK_UN);
	mem_free(l);
}

static const struct state_calls calls = {
	.ask = local_ask, .list = local_list, .flush = local_flush, .close = local_close};

struct state *
local_open(const struct local_config *config, struct err *err)
{
	struct stat st;
	if (fstat(config->dir_fd, &st) < 0) {
		err_sys(err, "state: look at its folder");
		return NULL;
	}
	if (!S_ISDIR(st.st_mode)) {
		err_set(err, "state: that is no folder");
		return NULL;
	}
	if (flock(config->dir_fd, LOCK_EX | LOCK_NB) < 0) {
		err_sys(err, "state: have its folder alone");
		return NULL;
	}
	struct local *l = MEM_NEW(struct local);
	l->state.calls = &calls;
	l->config = *config;
	l->calendar.of_s = -1;
	l->disk.dir_fd = config->dir_fd;
	l->disk.map_bytes = config->map_bytes != 0 ? config->map_bytes : map_bytes;
	hot_init(&l->hot, config->hot_most != 0 ? config->hot_most : HOT_MOST);
	writer_start(&l->writer, &l->disk,
		config->entries_most != 0 ? config->entries_most : ENTRIES_MOST);
	(void)open_again(l, err); /* told; tried again by flush */
	return &l->state;
}
