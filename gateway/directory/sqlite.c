/*
 * SQLite, in place: the file is opened to be read only, the query prepared once, and each value
 * bound to it. A look-up runs here and now, so it has a bound of its own: what takes longer has
 * failed, and the others wait for no more than that. A file that was replaced is opened anew.
 */
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/mem.h"
#include "directory/source.h"

enum { QUERY_MS = 200, BUSY_MS = 50, STEPS = 1000, WHY_BYTES = 200 };

struct source {
	const struct conf_directory *directory;
	const struct source_calls *calls;
	void *arg;
	sqlite3 *db;
	sqlite3_stmt *query;
	struct stat file; /* the one that is open */
	uint64_t until_ms;
	struct loop_task task; /* what it has to tell */
	bool told_ready;
	enum directory_found found;
	char why[WHY_BYTES];
};

static int
is_late(void *arg)
{
	const struct source *s = arg;
	return clock_ms() > s->until_ms;
}

static void
close_file(struct source *s)
{
	sqlite3_finalize(s->query);
	sqlite3_close(s->db);
	s->query = NULL;
	s->db = NULL;
}

static int
open_file(struct source *s, struct err *err)
{
	const struct conf_directory *d = s->directory;
	const char *path = d->database.p;
	if (stat(path, &s->file) < 0)
		return err_sys(err, "open %s", path);
	int result =
		sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);
	if (result == SQLITE_OK) {
		sqlite3_busy_timeout(s->db, BUSY_MS);
		sqlite3_progress_handler(s->db, STEPS, is_late, s);
		s->until_ms = clock_ms() + QUERY_MS;
		result =
			sqlite3_prepare_v2(s->db, d->query.p, (int)d->query.n, &s->query, NULL);
	}
	if (result == SQLITE_OK && sqlite3_stmt_readonly(s->query) == 0)
		result = SQLITE_READONLY;
	if (result == SQLITE_OK)
		return 0;
	err_set(err, "SQLite %s: %s", path,
		s->db != NULL ? sqlite3_errmsg(s->db) : sqlite3_errstr(result));
	close_file(s);
	return -1;
}

/* Another file stands at the path: written aside and renamed, as it should be. */
static bool
was_replaced(const struct source *s)
{
	struct stat now;
	return stat(s->directory->database.p, &now) == 0 &&
	       (now.st_ino != s->file.st_ino || now.st_dev != s->file.st_dev);
}

static void
on_task(void *arg)
{
	struct source *s = arg;
	if (!s->told_ready) {
		s->told_ready = true;
		s->calls->on_ready(s->arg);
	} else if (s->db == NULL) {
		s->calls->on_gone(s->arg, s->why);
	} else {
		s->calls->on_answer(s->arg, s->found, s->why);
	}
}

static enum directory_found
run(struct source *s, struct slice value)
{
	s->until_ms = clock_ms() + QUERY_MS;
	sqlite3_reset(s->query);
	int result = sqlite3_bind_text(
		s->query, 1, value.n != 0 ? value.p : "", (int)value.n, SQLITE_TRANSIENT);
	if (result == SQLITE_OK)
		result = sqlite3_step(s->query);
	if (result == SQLITE_INTERRUPT)
		snprintf(s->why, sizeof(s->why), "SQLite: the query took longer than %d ms",
			QUERY_MS);
	else if (result != SQLITE_ROW && result != SQLITE_DONE)
		snprintf(s->why, sizeof(s->why), "SQLite: %s", sqlite3_errmsg(s->db));
	sqlite3_reset(s->query);
	sqlite3_clear_bindings(s->query);
	return result == SQLITE_ROW    ? DIRECTORY_YES
	       : result == SQLITE_DONE ? DIRECTORY_NO
				       : DIRECTORY_FAILED;
}

static void
sqlite_ask(struct source *s, struct slice value)
{
	struct err err;
	if (was_replaced(s)) {
		close_file(s);
		if (open_file(s, &err) < 0)
			snprintf(s->why, sizeof(s->why), "%.*s", WHY_BYTES - 1, err.text);
	}
	if (s->db != NULL)
		s->found = run(s, value);
	loop_task_queue(&s->task);
}

static void
sqlite_close(struct source *s)
{
	close_file(s);
	loop_task_clear(&s->task);
	mem_free(s);
}

static struct source *
sqlite_open(const struct source_env *env, const struct conf_directory *d,
	const struct ip *address, const struct source_calls *calls, void *arg, struct err *err)
{
	struct source *s = MEM_NEW(struct source);
	(void)address;
	s->directory = d;
	s->calls = calls;
	s->arg = arg;
	loop_task_init(&s->task, env->loop, on_task, s);
	if (open_file(s, err) < 0) {
		sqlite_close(s);
		return NULL;
	}
	loop_task_queue(&s->task);
	return s;
}

const struct source_kind source_sqlite = {
	.open = sqlite_open, .ask = sqlite_ask, .close = sqlite_close};
