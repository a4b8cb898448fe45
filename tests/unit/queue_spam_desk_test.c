/*
 * Models at the keeper's: what each lesson does, when it is written and published, what a
 * damaged file and a disk that fails lead to, and what stands on disk whoever is killed at
 * which call.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "io/shared.h"
#include "queue/hand_messages.h"
#include "queue/hand_spam.h"
#include "queue/spam_desk.h"
#include "queue/spam_files.h"
#include "spam_disk.h"
#include "tree.h"

enum { WAIT_MS = 10 * 1000 };

/* ---- a desk ---- */

static struct {
	char path[64];
	int spool;
	struct loop *loop;
	struct loop_timer late;
	struct spam_shared *shared;
	struct spam_desk *desk;
} t;

static void
on_late(void *arg)
{
	(void)arg;
	loop_stop(t.loop);
}

static void
run_ms(uint64_t ms)
{
	struct err err;
	loop_timer_set(&t.late, ms);
	assert_int_equal(loop_run(t.loop, &err), 0);
}

static void
open_desk(void)
{
	struct err err;
	t.desk = spam_desk_new(t.loop, t.spool, t.shared, &err);
	assert_non_null(t.desk);
}

/* Another keeper on the same folder, which has published nothing yet. */
static void
open_again(void)
{
	struct err err;
	spam_desk_free(&t.desk);
	t.shared = shared_new(spam_shared_bytes(), "models", &err);
	assert_non_null(t.shared);
	open_desk();
}

static int
set_up(void **state)
{
	(void)state;
	struct err err;
	spam_disk_begin();
	snprintf(t.path, sizeof(t.path), "spam_desk.XXXXXX");
	assert_non_null(mkdtemp(t.path));
	t.spool = open(t.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	t.loop = loop_new(&err);
	t.shared = shared_new(spam_shared_bytes(), "models", &err);
	assert_true(t.spool >= 0 && t.loop != NULL && t.shared != NULL);
	loop_timer_init(&t.late, t.loop, on_late, NULL);
	open_desk();
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	spam_desk_free(&t.desk);
	loop_timer_clear(&t.late);
	loop_free(&t.loop);
	close(t.spool);
	spam_disk_end();
	return tree_remove(t.path);
}

/* ---- asking it ---- */

struct answer {
	bool came, stored;
	uint16_t type;
	char words[HAND_WHY_WORDS_MOST + 400];
	struct hand_learned learned[HAND_LESSONS_MOST];
	struct hand_spam_model models[HAND_SPAM_MODELS_MOST];
	size_t n;
};

static void
on_answer(void *arg, uint16_t type, struct slice payload)
{
	struct answer *a = arg;
	struct hand_spam_done done = {.stored = false};
	assert_false(a->came);
	a->came = true;
	a->type = type;
	if (type == HAND_MSG_SPAM_LEARNED)
		assert_true(hand_learned_unpack(payload, a->learned, &a->n));
	else if (type == HAND_MSG_SPAM_DONE)
		assert_true(hand_spam_done_unpack(payload, &done));
	else if (type == HAND_MSG_SPAM_MODELS)
		assert_true(hand_spam_models_unpack(payload, a->models, &a->n));
	else
		done.why = payload;
	a->stored = done.stored;
	snprintf(a->words, sizeof(a->words), "%.*s", SLICE_ARG(done.why));
	loop_stop(t.loop);
}

static void
ask(uint16_t type, struct ipc_out *out, struct answer *a)
{
	struct ipc_msg m = {.type = type};
	*a = (struct answer){.came = false};
	assert_true(ipc_out_ok(out, &m.payload));
	assert_true(spam_desk_hand(t.desk, 7, &m, on_answer, a));
	ipc_out_fini(out);
}

static void
wait_for(struct answer *a)
{
	if (!a->came)
		run_ms(WAIT_MS);
	loop_timer_clear(&t.late);
	assert_true(a->came);
}

/* A mail is a number here: features and an id that follow from it. */
static struct spam_features
mail(uint32_t number)
{
	static uint32_t raw[8][100], text[8][50];
	static unsigned next;
	unsigned at = next++ % 8;
	struct spam_features f = {.raw = raw[at], .text = text[at], .n_raw = 100, .n_text = 50};
	for (uint32_t i = 0; i < 100; i++)
		raw[at][i] = (number * 7919 + i * 104729) % SPAM_WEIGHTS;
	for (uint32_t i = 0; i < 50; i++)
		text[at][i] = (number * 6007 + i * 15485863) % SPAM_WEIGHTS;
	memcpy(f.id, &number, sizeof(number));
	return f;
}

static struct answer
teach_of(const char *domain, enum hand_teach teach, uint32_t number)
{
	struct hand_lesson lesson = {teach, mail(number)};
	struct answer a;
	struct ipc_out out;
	ipc_out_init(&out);
	hand_lessons_begin(slice_of(domain), &out);
	assert_true(hand_lessons_add(&lesson, &out));
	hand_lessons_end(&out);
	ask(HAND_MSG_SPAM_LEARN, &out, &a);
	assert_true(a.came); /* nobody waits for it */
	return a;
}

static enum spam_learn
teach(enum hand_teach what, uint32_t number)
{
	struct answer a = teach_of("", what, number);
	assert_int_equal(a.type, HAND_MSG_SPAM_LEARNED);
	return a.learned[0].result;
}

static void
commit_begin(struct answer *a)
{
	struct ipc_out out;
	ipc_out_init(&out);
	ask(HAND_MSG_SPAM_COMMIT, &out, a);
}

static struct answer
commit(void)
{
	struct answer a;
	commit_begin(&a);
	wait_for(&a);
	assert_int_equal(a.type, HAND_MSG_SPAM_DONE);
	return a;
}

static struct answer
status(void)
{
	struct answer a;
	struct ipc_out out;
	ipc_out_init(&out);
	ask(HAND_MSG_SPAM_STATUS, &out, &a);
	assert_true(a.came && a.type == HAND_MSG_SPAM_MODELS);
	return a;
}

/* What others see of a mail. */
static struct spam_opinion
opinion(const char *domain, uint32_t number)
{
	struct spam_features f = mail(number);
	struct spam_opinion o = {.ham = 0};
	if (!spam_shared_ask(t.shared, slice_of(domain), &f, &o))
		assert_int_equal(o.ham + o.spam, 0);
	return o;
}

/* ---- what stands on disk ---- */

static void
path_of(const char *name, char path[256])
{
	snprintf(path, 256, "%s/spam/%s", t.path, name);
}

/* False: no such file. It must be whole. */
static bool
file_totals(const char *name, uint32_t *ham, uint32_t *spam)
{
	char path[256];
	struct buf bytes;
	struct err err;
	int64_t when;
	path_of(name, path);
	buf_init(&bytes, SPAM_FILE_MOST);
	int got = spam_files_read(AT_FDCWD, path, &bytes, &when, &err);
	assert_true(got >= 0);
	if (got > 0) {
		struct spam_model *m = spam_model_unpack(buf_slice(&bytes), &err);
		if (m == NULL)
			fail_msg("%s: %s", name, err.text);
		*ham = spam_model_weights(m)->ham;
		*spam = spam_model_weights(m)->spam;
		spam_model_free(&m);
	}
	buf_fini(&bytes);
	return got > 0;
}

static void
check_file(const char *name, uint32_t ham, uint32_t spam)
{
	uint32_t got_ham, got_spam;
	assert_true(file_totals(name, &got_ham, &got_spam));
	assert_int_equal(got_ham, ham);
	assert_int_equal(got_spam, spam);
}

static void
write_to(const char *name, const void *bytes, size_t n)
{
	char path[256];
	path_of(name, path);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, n), n);
	close(fd);
}

static size_t
count_names(const char *folder, const char *part)
{
	char path[256];
	size_t n = 0;
	const struct dirent *e;
	path_of(folder, path);
	DIR *dir = opendir(path);
	assert_non_null(dir);
	while ((e = readdir(dir)) != NULL)
		n += strstr(e->d_name, part) != NULL;
	closedir(dir);
	return n;
}

/* ---- the tests ---- */

static void
test_lessons(void **state)
{
	(void)state;
	assert_int_equal(teach(HAND_TEACH_SPAM, 1), SPAM_LEARNED);
	assert_int_equal(teach(HAND_TEACH_SPAM, 1), SPAM_KNOWN);
	assert_int_equal(teach(HAND_TEACH_HAM, 2), SPAM_LEARNED);
	struct answer a = teach_of("", HAND_TEACH_HAM, 1);
	assert_int_equal(a.learned[0].result, SPAM_CHANGED);
	assert_true(a.learned[0].raw > 0 && a.learned[0].text > 0); /* before it */
	a = teach_of("", HAND_TEACH_UNLEARN, 1);
	assert_int_equal(a.learned[0].result, SPAM_LEARNED);
	assert_true(a.learned[0].raw < 0);
	assert_int_equal(teach(HAND_TEACH_UNLEARN, 1), SPAM_UNKNOWN);
	assert_true(commit().stored);
	check_file("site.model", 1, 0);
	assert_int_equal(teach(HAND_TEACH_UNLEARN, 2), SPAM_LEARNED);
	assert_true(commit().stored);
	check_file("site.model", 0, 0);
	assert_int_equal(opinion("", 2).ham, 0);
	assert_int_equal(teach_of("", HAND_TEACH_SPAM, 1).learned[0].raw, 0);
}

/* What was published before the end is what the next keeper publishes, from the file. */
static void
test_published(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 50; i++)
		teach(i % 2 == 0 ? HAND_TEACH_SPAM : HAND_TEACH_HAM, i);
	assert_int_equal(opinion("", 3).ham, 0); /* not yet */
	assert_true(commit().stored);
	struct spam_opinion before = opinion("", 4);
	assert_int_equal(before.ham, 25);
	assert_int_equal(before.spam, 25);
	assert_true(before.logits.raw > 0.1);
	open_again();
	struct spam_opinion after = opinion("", 4);
	assert_int_equal(after.spam, 25);
	assert_true(fabs(after.logits.raw - before.logits.raw) < 1e-9 &&
		    fabs(after.logits.text - before.logits.text) < 1e-9);
	struct answer a = status();
	assert_true(a.n == 1 && a.models[0].ham == 25 && a.models[0].stored &&
		    a.models[0].bytes > 2000000);
	assert_true(llabs(clock_wall_ms() - (int64_t)a.models[0].taught_ms) < 60000);
	assert_int_equal(teach(HAND_TEACH_HAM, 1), SPAM_KNOWN); /* it remembers each */
}

/* Without being asked it writes: a second after the first lesson, then once a second. */
static void
test_written_by_itself(void **state)
{
	(void)state;
	uint32_t ham, spam, lessons = 0;
	uint64_t began = clock_ms();
	spam_disk.syncs = 0;
	assert_false(file_totals("site.model", &ham, &spam));
	while (clock_ms() - began < 2700) {
		teach(HAND_TEACH_SPAM, ++lessons);
		run_ms(20);
	}
	int files = spam_disk.syncs / 2; /* the file and its folder */
	assert_in_range(files, 1, 3);
	assert_true(file_totals("site.model", &ham, &spam));
	assert_true(spam > 0 && spam < lessons);
	assert_int_equal(opinion("", 1).spam, spam);
	run_ms(1500);
	check_file("site.model", 0, lessons);
	spam_disk.syncs = 0;
	run_ms(1500); /* and nothing where nothing was taught */
	assert_int_equal(spam_disk.syncs, 0);
	teach(HAND_TEACH_SPAM, ++lessons); /* and at its end */
	assert_false(status().models[0].stored);
	spam_desk_free(&t.desk);
	check_file("site.model", 0, lessons);
}

static void
test_domains(void **state)
{
	(void)state;
	const struct slice two[] = {SLICE("a.example"), SLICE("xn--bcher-kva.example")};
	struct answer a = teach_of("a.example", HAND_TEACH_SPAM, 1);
	assert_int_equal(a.type, HAND_MSG_ERROR);
	assert_non_null(strstr(a.words, "a.example has no model of its own"));
	spam_desk_domains(t.desk, two, 2);
	a = teach_of("A.Example", HAND_TEACH_SPAM, 1);
	assert_int_equal(a.type, HAND_MSG_SPAM_LEARNED);
	teach_of("xn--bcher-kva.example", HAND_TEACH_HAM, 1);
	teach(HAND_TEACH_HAM, 1);
	assert_true(commit().stored);
	check_file("domain/a.example.model", 0, 1);
	check_file("domain/xn--bcher-kva.example.model", 1, 0);
	check_file("site.model", 1, 0);
	assert_int_equal(opinion("a.example", 1).spam, 1);
	assert_int_equal(opinion("", 1).ham, 1);
	assert_int_equal(status().n, 3);
	spam_desk_domains(t.desk, two + 1, 1); /* a reload that names one of them */
	assert_int_equal(teach_of("a.example", HAND_TEACH_HAM, 2).type, HAND_MSG_ERROR);
	assert_int_equal(status().n, 2);
	spam_desk_domains(t.desk, two, 2);
	assert_int_equal(
		teach_of("a.example", HAND_TEACH_SPAM, 1).learned[0].result, SPAM_KNOWN);
	open_again();
	assert_int_equal(opinion("a.example", 1).spam, 0); /* not named yet */
	spam_desk_domains(t.desk, two, 1);
	assert_int_equal(opinion("a.example", 1).spam, 1);
}

/* More than there is room for over time: those that are named have their places. */
static void
test_many_domains(void **state)
{
	(void)state;
	char names[2 * SPAM_DOMAINS_MOST][32];
	struct slice list[2 * SPAM_DOMAINS_MOST];
	for (size_t i = 0; i < 2 * SPAM_DOMAINS_MOST; i++) {
		snprintf(names[i], sizeof(names[i]), "d%zu.example", i);
		list[i] = slice_of(names[i]);
	}
	spam_desk_domains(t.desk, list, SPAM_DOMAINS_MOST);
	assert_int_equal(status().n, HAND_SPAM_MODELS_MOST);
	assert_int_equal(
		teach_of("d31.example", HAND_TEACH_SPAM, 1).type, HAND_MSG_SPAM_LEARNED);
	assert_int_equal(teach_of("d32.example", HAND_TEACH_SPAM, 1).type, HAND_MSG_ERROR);
	/* one with a lesson that is not on disk keeps its place until it is */
	spam_desk_domains(t.desk, list + SPAM_DOMAINS_MOST, SPAM_DOMAINS_MOST);
	assert_int_equal(status().n, HAND_SPAM_MODELS_MOST - 1);
	assert_true(commit().stored);
	check_file("domain/d31.example.model", 0, 1);
	spam_desk_domains(t.desk, list + SPAM_DOMAINS_MOST, SPAM_DOMAINS_MOST);
	assert_int_equal(status().n, HAND_SPAM_MODELS_MOST);
	assert_int_equal(
		teach_of("d63.example", HAND_TEACH_SPAM, 1).type, HAND_MSG_SPAM_LEARNED);
}

/* No name leads out of the folder. */
static void
test_names(void **state)
{
	(void)state;
	static const char *const wrong[] = {
		"..", ".", "../site", "a/b", ".a.example", "a\nb", "A.b"};
	char name[SPAM_NAME_BYTES], long_name[300];
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct slice domain = slice_of(wrong[i]);
		assert_false(spam_files_name(domain, name));
		spam_desk_domains(t.desk, &domain, 1);
		assert_int_equal(status().n, 1);
	}
	memset(long_name, 'a', sizeof(long_name));
	assert_false(spam_files_name((struct slice){long_name, 201}, name));
	assert_true(spam_files_name((struct slice){long_name, 200}, name));
	struct slice longest = {long_name, 200};
	spam_desk_domains(t.desk, &longest, 1);
	long_name[200] = '\0';
	teach_of(long_name, HAND_TEACH_SPAM, 1);
	assert_true(commit().stored);
	write_to(name, "x", 1); /* its damaged one has a name, too */
	open_again();
	spam_desk_domains(t.desk, &longest, 1);
	assert_int_equal(count_names("domain", ".damaged-"), 1);
	assert_int_equal(teach_of(long_name, HAND_TEACH_SPAM, 1).type, HAND_MSG_SPAM_LEARNED);
	assert_true(commit().stored);
}

/* A damaged file is set aside and a new model begins; of those aside some are kept. */
static void
test_damaged(void **state)
{
	(void)state;
	uint32_t ham, spam;
	for (int round = 0; round < SPAM_ASIDE_MOST + 2; round++) {
		char path[256];
		struct stat st;
		teach(HAND_TEACH_SPAM, 1);
		assert_true(commit().stored);
		path_of("site.model", path);
		assert_int_equal(stat(path, &st), 0);
		if (round % 3 == 0) { /* cut */
			assert_int_equal(truncate(path, st.st_size / 2), 0);
		} else if (round % 3 == 1) { /* empty */
			assert_int_equal(truncate(path, 0), 0);
		} else { /* one bit */
			int fd = open(path, O_RDWR | O_CLOEXEC);
			char c;
			assert_int_equal(pread(fd, &c, 1, 1000), 1);
			c = (char)(c ^ 4);
			assert_int_equal(pwrite(fd, &c, 1, 1000), 1);
			close(fd);
		}
		open_again();
		assert_int_equal(opinion("", 1).spam, 0);
		assert_false(file_totals("site.model", &ham, &spam));
		assert_int_equal(count_names(".", "site.model.damaged-"),
			round < SPAM_ASIDE_MOST ? round + 1 : SPAM_ASIDE_MOST);
	}
	char path[256];
	path_of("site.model", path);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	open_again();
	assert_int_equal(teach(HAND_TEACH_SPAM, 1), SPAM_LEARNED);
	assert_true(commit().stored);
	check_file("site.model", 0, 1);
}

/* It cannot be moved: nothing is written over it, lessons are of memory alone. */
static void
test_stuck(void **state)
{
	(void)state;
	write_to("site.model", "damaged", 7);
	spam_disk.fail_at = -1;
	spam_disk.fail_errno = EROFS;
	open_again();
	spam_disk.fail_at = 0;
	assert_int_equal(teach(HAND_TEACH_SPAM, 1), SPAM_LEARNED);
	struct answer a = commit();
	assert_false(a.stored);
	assert_non_null(strstr(a.words, "damaged"));
	assert_int_equal(opinion("", 1).spam, 1);
	assert_int_equal(count_names(".", ".damaged-"), 0);
	open_again(); /* it can be now */
	assert_int_equal(count_names(".", ".damaged-"), 1);
}

/* What was learned before cannot be read: nothing is learned over it. */
static void
check_unread(const char *folder, const char *domain)
{
	char from[256], to[256];
	const struct slice own = SLICE("a.example");
	spam_desk_domains(t.desk, &own, 1);
	teach_of(domain, HAND_TEACH_SPAM, 1);
	assert_true(commit().stored);
	snprintf(from, sizeof(from), "%s/%s", t.path, folder);
	snprintf(to, sizeof(to), "%s/away", t.path);
	assert_int_equal(rename(from, to), 0);
	int fd = open(from, O_WRONLY | O_CREAT | O_CLOEXEC, 0600); /* a file in its place */
	assert_true(fd >= 0);
	close(fd);
	open_again();
	spam_desk_domains(t.desk, &own, 1);
	struct answer a = teach_of(domain, HAND_TEACH_SPAM, 2);
	assert_int_equal(a.type, HAND_MSG_ERROR);
	assert_non_null(strstr(a.words, "cannot be read now"));
	assert_int_equal(unlink(from) | rename(to, from), 0);
	a = teach_of(domain, HAND_TEACH_SPAM, 2);
	assert_int_equal(a.learned[0].result, SPAM_LEARNED);
	assert_int_equal(teach_of(domain, HAND_TEACH_SPAM, 1).learned[0].result, SPAM_KNOWN);
	assert_true(commit().stored);
	assert_int_equal(opinion(domain, 1).spam, 2);
}

static void
test_unread(void **state)
{
	(void)state;
	check_unread("spam", "");
	check_unread("spam/domain", "a.example");
}

static void
test_full_disk(void **state)
{
	(void)state;
	teach(HAND_TEACH_SPAM, 1);
	assert_true(commit().stored);
	spam_disk.fail_at = -1;
	spam_disk.fail_errno = ENOSPC;
	teach(HAND_TEACH_SPAM, 2);
	struct answer a = commit();
	assert_false(a.stored);
	assert_non_null(strstr(a.words, strerror(ENOSPC)));
	check_file("site.model", 0, 1);
	assert_int_equal(count_names(".", ".new"), 0);
	assert_int_equal(opinion("", 2).spam, 2); /* learned it is */
	assert_false(status().models[0].stored);
	assert_false(commit().stored); /* asked again */
	spam_disk.fail_at = 0;
	assert_true(commit().stored);
	check_file("site.model", 0, 2);
	assert_true(status().models[0].stored);
}

/* Room again is found without being asked for. */
static void
test_tries_again(void **state)
{
	(void)state;
	spam_disk.fail_at = 1;
	spam_disk.fail_errno = EIO;
	spam_disk.seen = 0;
	teach(HAND_TEACH_SPAM, 2);
	assert_false(commit().stored);
	run_ms(SPAM_AGAIN_MS + 1000);
	check_file("site.model", 0, 1);
}

/* So that the file, and with one lesson more, is written in three pieces. */
static void
write_in_three(void)
{
	char path[256];
	struct stat st;
	path_of("site.model", path);
	assert_int_equal(stat(path, &st), 0);
	spam_disk.write_most = (size_t)st.st_size / 3 + 100 * 1000;
}

/* Each call of a write fails once; short writes and EINTR are none. */
static void
test_each_call_fails(void **state)
{
	(void)state;
	static const int codes[] = {ENOSPC, EIO, EINTR};
	uint32_t ham, spam, n = 1;
	teach(HAND_TEACH_SPAM, 1);
	assert_true(commit().stored);
	write_in_three();
	spam_disk.seen = 0;
	teach(HAND_TEACH_SPAM, ++n);
	assert_true(commit().stored);
	int calls = spam_disk.seen;
	assert_in_range(calls, 6, 20);
	for (int at = 1; at <= calls; at++) {
		for (size_t c = 0; c < 3; c++) {
			write_in_three();
			spam_disk.seen = 0;
			spam_disk.fail_at = at;
			spam_disk.fail_errno = codes[c];
			teach(HAND_TEACH_SPAM, ++n);
			bool stored = commit().stored;
			if (at <= calls - 3) /* the writes */
				assert_int_equal(stored, codes[c] == EINTR);
			else
				assert_false(stored);
			assert_true(file_totals("site.model", &ham, &spam));
			assert_true(spam == n || (spam == n - 1 && !stored));
			spam_disk.fail_at = 0;
			assert_true(commit().stored);
			check_file("site.model", 0, n);
		}
	}
}

/* Killed at each call: the old one or the new one, and what was answered is there. */
static void
test_killed_at_each_call(void **state)
{
	(void)state;
	uint32_t n = 1, ham, spam;
	teach(HAND_TEACH_SPAM, 1);
	assert_true(commit().stored);
	spam_desk_free(&t.desk);
	for (int at = 1;; at++) {
		pid_t pid = fork();
		if (pid == 0) {
			struct err err;
			t.loop = loop_new(&err);
			loop_timer_init(&t.late, t.loop, on_late, NULL);
			open_desk();
			spam_disk.write_most = 900 * 1000;
			spam_disk.seen = 0;
			spam_disk.die_at = at;
			teach(HAND_TEACH_SPAM, n + 1);
			_exit(commit().stored ? 7 : 8);
		}
		int result;
		assert_int_equal(waitpid(pid, &result, 0), pid);
		assert_true(WIFEXITED(result));
		assert_true(file_totals("site.model", &ham, &spam));
		assert_true(spam == n || spam == n + 1);
		n = spam;
		if (WEXITSTATUS(result) == 7)
			break; /* more calls than it makes */
		assert_int_equal(WEXITSTATUS(result), 99);
		assert_in_range(at, 1, 20);
	}
	open_desk(); /* nothing of the killed ones is in the way */
	assert_int_equal(opinion("", 1).spam, n);
	teach(HAND_TEACH_SPAM, n + 1);
	assert_true(commit().stored);
	assert_int_equal(count_names(".", ".new"), 0);
}

/* A slow disk: lessons are answered at once, whoever waits for a commit; each gets his own. */
static void
test_slow_disk(void **state)
{
	(void)state;
	struct answer first, second, third;
	uint64_t longest = 0;
	spam_disk.slow_ms = 150;
	teach(HAND_TEACH_SPAM, 1);
	commit_begin(&first);
	commit_begin(&second);
	for (uint32_t i = 2; i < 10; i++) {
		uint64_t before = clock_ms();
		teach(HAND_TEACH_SPAM, i);
		uint64_t took = clock_ms() - before;
		longest = took > longest ? took : longest;
	}
	commit_begin(&third);
	assert_false(first.came);
	assert_true(longest < 100);
	wait_for(&first);
	assert_true(first.stored && second.came && second.stored && !third.came);
	check_file("site.model", 0, 1);
	wait_for(&third);
	assert_true(third.stored);
	check_file("site.model", 0, 9);
	/* the end of the keeper answers who still waits */
	teach(HAND_TEACH_SPAM, 20);
	commit_begin(&first);
	teach(HAND_TEACH_SPAM, 21);
	commit_begin(&second);
	spam_desk_free(&t.desk);
	assert_true(first.came && first.stored && second.came && second.stored);
	check_file("site.model", 0, 11);
}

static void
test_not_ours(void **state)
{
	(void)state;
	static const char bytes[] = "\x01\x02\x03";
	const uint16_t types[] = {HAND_MSG_SPAM_LEARN, HAND_MSG_SPAM_COMMIT,
		HAND_MSG_SPAM_STATUS, HAND_MSG_SPAM_LEARNED, HAND_MSG_LIST};
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		struct answer a = {.came = false};
		struct ipc_msg m = {.type = types[i], .payload = {bytes, 3}};
		assert_false(spam_desk_hand(t.desk, 0, &m, on_answer, &a));
		assert_false(a.came);
	}
	assert_true(commit().stored); /* nothing to do is done */
}

int
main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {ROW(test_lessons), ROW(test_published),
		ROW(test_written_by_itself), ROW(test_domains), ROW(test_many_domains),
		ROW(test_names), ROW(test_damaged), ROW(test_stuck), ROW(test_unread),
		ROW(test_full_disk), ROW(test_tries_again), ROW(test_each_call_fails),
		ROW(test_killed_at_each_call), ROW(test_slow_disk), ROW(test_not_ours)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
