/*
 * The process of the second engines as posternd starts it: libspf2 and libopendkim in workers
 * behind their messages, in their sandbox. What they are known to get wrong stands in
 * gateway/second/README.md; here: they answer, they ask for what they lack, what kills a worker
 * costs one run, and the explanation that breaks libspf2's stack (127 macros) does
 * not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "filters/dkim.h"
#include "filters/engine_opendkim.h"
#include "filters/engine_spf2.h"
#include "second/messages.h"
#include "serving.h"

enum { ARENA_MOST = 16 * 1024 * 1024, WALL_S = 1795317600, ROUNDS_MOST = 40 };

static struct serving engine;
static struct arena *arena;

static int
open_engine(void **state)
{
	static char path[PATH_MAX], fd[16];
	(void)state;
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 32);
	assert_true(n > 0);
	path[n] = '\0';
	snprintf(strrchr(path, '/'), 32, "/postern-engine");
	int engine_fd = serving_prepare(&engine);
	snprintf(fd, sizeof(fd), "%d", engine_fd);
	char name[] = "postern-engine", c[] = "-c", w[] = "-w", one[] = "1";
	char *argv[] = {name, c, fd, w, one, NULL};
	struct child_spec spec = {.kind = "engine", .path = path, .argv = argv};
	serving_start(&engine, &spec, engine_fd);
	arena = arena_new(ARENA_MOST);
	return 0;
}

static int
close_engine(void **state)
{
	(void)state;
	serving_stop(&engine);
	arena_free(&arena);
	return 0;
}

static unsigned
ask(const struct second_job *job, int fd)
{
	struct ipc_out out;
	struct slice payload;
	ipc_out_init(&out);
	second_job_pack(job, &out);
	assert_true(ipc_out_ok(&out, &payload));
	unsigned at = serving_ask(&engine, SECOND_MSG_RUN, payload, fd);
	ipc_out_fini(&out);
	return at;
}

static struct slice
output(unsigned at)
{
	struct slice s;
	assert_false(engine.answers[at].lost);
	assert_int_equal(engine.answers[at].type, SECOND_MSG_OUTPUT);
	assert_true(second_output_unpack(buf_slice(&engine.answers[at].payload), &s));
	return s;
}

/* ---- libspf2 ---- */

struct record {
	const char *name;
	enum dns_type type;
	const char *text;
};

static struct engine_spf2_request
spf_request(const char *sender)
{
	struct engine_spf2_request r = {.helo = SLICE("mail.sender.example"),
		.sender = slice_of(sender),
		.hostname = SLICE("mx.example.com"),
		.answers = arena_array(
			arena, ENGINE_SPF2_ANSWERS_MOST, sizeof(struct engine_spf2_answer))};
	assert_true(ip_parse(SLICE("192.0.2.7"), &r.client));
	return r;
}

static void
answer(struct engine_spf2_answer *a, const struct record *zone, size_t n)
{
	a->answer = (struct dns_answer){.status = DNS_NXDOMAIN};
	for (size_t i = 0; i < n; i++) {
		if (!slice_eq_nocase(slice_of(zone[i].name), a->name))
			continue;
		a->answer.status = DNS_NODATA;
		if (zone[i].type != a->type)
			continue;
		a->answer = (struct dns_answer){
			.status = DNS_OK, .n = 1, .rr = ARENA_NEW(arena, struct dns_rr)};
		a->answer.rr[0].text = slice_of(zone[i].text);
		if (a->type == DNS_A)
			assert_true(ip_parse(a->answer.rr[0].text, &a->answer.rr[0].ip));
		return;
	}
}

/* Asked again with what it wants, as the filter does. False: a run failed. */
static bool
spf(const char *sender, const struct record *zone, size_t n, struct engine_spf2_reply *reply)
{
	struct engine_spf2_request r = spf_request(sender);
	for (unsigned round = 0; round < ROUNDS_MOST; round++) {
		serving_clear(&engine);
		struct second_job job = {
			.engine = SECOND_SPF2, .input = engine_spf2_pack_request(&r, arena)};
		unsigned at = ask(&job, -1);
		serving_wait(&engine);
		struct slice bytes = arena_slice(arena, output(at));
		if (!engine_spf2_unpack_reply(bytes, arena, reply))
			return false;
		if (reply->done)
			return true;
		for (size_t i = 0; i < reply->n_wanted; i++) {
			assert_true(r.n_answers < ENGINE_SPF2_ANSWERS_MOST);
			r.answers[r.n_answers] = reply->wanted[i];
			answer(&r.answers[r.n_answers++], zone, n);
		}
	}
	fail_msg("%s: no end", sender);
	return false;
}

static const struct record zone[] = {
	{"pass.example", DNS_TXT, "v=spf1 a:mail.pass.example -all"},
	{"mail.pass.example", DNS_A, "192.0.2.7"},
	{"fail.example", DNS_TXT, "v=spf1 ip4:192.0.2.8 -all"},
	{"soft.example", DNS_TXT, "v=spf1 include:fail.example ~all"},
	{"broken.example", DNS_TXT, "v=spf1 nonsense -all"},
	{"grows.example", DNS_TXT, "v=spf1 include:%{d}.%{d}.%{d}. -all"},
	{"loops.example", DNS_TXT, "v=spf1 include:loops.example -all"},
	{"voids.example", DNS_TXT,
		"v=spf1 a:v1.example a:v2.example a:v3.example ip4:192.0.2.7 -all"},
};
enum { ZONE = sizeof(zone) / sizeof(zone[0]) };

static void
test_spf_results(void **state)
{
	(void)state;
	static const struct {
		const char *sender;
		enum spf_result result;
	} rows[] = {
		{"a@pass.example", SPFR_PASS}, {"a@fail.example", SPFR_FAIL},
		{"a@soft.example", SPFR_SOFTFAIL}, {"a@none.example", SPFR_NONE},
		{"a@broken.example", SPFR_PERMERROR},
		{"a@grows.example",
			SPFR_PERMERROR}, /* names above 253 octets: there are none */
		{"a@loops.example", SPFR_PERMERROR},
		{"a@voids.example", SPFR_PERMERROR}, /* RFC 7208 4.6.4 */
		{"a@label", SPFR_NONE},              /* RFC 7208 4.3 */
		{"", SPFR_NONE},                     /* HELO's domain has no record */
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct engine_spf2_reply reply;
		assert_true(spf(rows[i].sender, zone, ZONE, &reply));
		if (reply.result != rows[i].result)
			fail_msg("%s: %s", rows[i].sender, spf_result_text(reply.result));
	}
}

/* As packaged, libspf2 compiles this explanation over the end of its stack. */
static void
test_spf_macros(void **state)
{
	(void)state;
	struct engine_spf2_reply reply;
	struct slice text = SLICE_NONE;
	for (int macros = 100; macros <= 140; macros += 1) {
		text = SLICE("See ");
		for (int i = 0; i < macros; i++)
			text = arena_printf(arena, "%.*s%%{i}", SLICE_ARG(text));
		text = arena_printf(arena, "%.*s and some text behind them", SLICE_ARG(text));
		const struct record evil[] = {
			{"evil.example", DNS_TXT, "v=spf1 -all exp=why.evil.example"},
			{"why.evil.example", DNS_TXT, arena_text(arena, text)},
		};
		assert_true(spf("a@evil.example", evil, 2, &reply));
		assert_int_equal(reply.result, SPFR_FAIL);
		assert_int_equal(reply.explanation.n, 0);
	}
}

static pid_t
worker_pid(void)
{
	char path[64], line[256];
	pid_t pid = 0;
	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", engine.pid, engine.pid);
	FILE *f = fopen(path, "r");
	assert_non_null(f);
	if (fgets(line, sizeof(line), f) != NULL)
		pid = (pid_t)strtol(line, NULL, 10);
	fclose(f);
	assert_true(pid > 0);
	return pid;
}

/* A worker dies of its run: that run failed, the one behind it did not. */
static void
test_killed(void **state)
{
	(void)state;
	struct engine_spf2_request r = spf_request("a@pass.example");
	struct engine_spf2_reply reply;
	struct second_job job = {
		.engine = SECOND_SPF2, .input = engine_spf2_pack_request(&r, arena)};
	serving_clear(&engine);
	pid_t first = worker_pid();
	assert_int_equal(kill(first, SIGSTOP), 0);
	unsigned dies = ask(&job, -1), lives = ask(&job, -1);
	serving_run_for(&engine, 50);
	assert_int_equal(engine.answered, 0);
	assert_int_equal(kill(first, SIGKILL), 0);
	serving_wait(&engine);
	assert_int_equal(output(dies).n, 0);
	assert_true(engine_spf2_unpack_reply(output(lives), arena, &reply));
	assert_int_not_equal(worker_pid(), first);
}

/* ---- libopendkim ---- */

static void
verify(struct slice mail, const struct engine_opendkim_request *r, bool by_file, size_t n,
	enum dkim_result results[DKIM_SIGNATURES_MOST])
{
	struct second_job job = {.engine = SECOND_OPENDKIM,
		.input = engine_opendkim_pack(r, arena),
		.bytes = mail.n,
		.body = by_file ? SLICE_NONE : mail};
	char path[] = "/tmp/theirs-XXXXXX";
	int fd = -1;
	if (by_file) {
		fd = mkstemp(path);
		assert_true(fd >= 0 && unlink(path) == 0);
		assert_true(write(fd, mail.p, mail.n) == (ssize_t)mail.n);
	}
	serving_clear(&engine);
	unsigned at = ask(&job, fd);
	serving_wait(&engine);
	if (fd >= 0)
		close(fd);
	assert_true(engine_opendkim_unpack_results(output(at), results, n));
}

static struct slice
read_file(const char *folder, const char *name)
{
	char path[PATH_MAX];
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	FILE *f = fopen(path, "rb");
	assert_non_null(f);
	char *bytes = arena_alloc(arena, 1 << 20);
	size_t n = fread(bytes, 1, 1 << 20, f);
	fclose(f);
	return (struct slice){bytes, n};
}

/* The keys of our matrix: "NAME text" a line. */
static void
read_keys(const char *folder, struct engine_opendkim_request *r)
{
	struct slice rest = read_file(folder, "keys.txt"), line;
	r->keys = arena_array(arena, 64, sizeof(*r->keys));
	while (rest.n > 0) {
		slice_cut(rest, '\n', &line, &rest);
		if (line.n == 0)
			continue;
		struct engine_opendkim_key *key = &r->keys[r->n++];
		key->status = DNS_OK;
		slice_cut(line, ' ', &key->name, &key->text);
	}
}

struct judged {
	enum dkim_result ours[DKIM_SIGNATURES_MOST], theirs[DKIM_SIGNATURES_MOST];
	size_t n;
};

/* Both, with the keys that ours asks for, as the filter does it. */
static void
judge(struct slice mail, const struct engine_opendkim_request *keys, bool by_file,
	struct judged *j)
{
	struct engine_opendkim_request r = {.wall_s = WALL_S,
		.keys = arena_array(arena, DKIM_SIGNATURES_MOST, sizeof(*r.keys))};
	struct message m;
	size_t header = message_header_end(mail, 0);
	message_parse(slice_first(mail, header), SLICE("mx.example.com"), false, arena, &m);
	struct dkim_verify *v = dkim_verify_begin(m.fields, m.n_fields, false, WALL_S, arena);
	dkim_verify_body(v, slice_from(mail, header));
	dkim_verify_body_end(v);
	j->n = dkim_verify_count(v);
	for (size_t i = 0; i < j->n; i++) {
		struct slice name = dkim_verify_signature(v, i)->key_name;
		struct dns_answer one = {.status = DNS_NXDOMAIN};
		struct dns_rr rr = {0};
		for (size_t k = 0; name.n > 0 && k < keys->n; k++) {
			if (!slice_eq_nocase(keys->keys[k].name, name))
				continue;
			rr.text = keys->keys[k].text;
			one = (struct dns_answer){.status = DNS_OK, .n = 1, .rr = &rr};
			r.keys[r.n++] = keys->keys[k];
			break;
		}
		if (name.n > 0)
			dkim_verify_key(v, i, &one);
		j->ours[i] = dkim_verify_signature(v, i)->result;
	}
	verify(mail, &r, by_file, j->n, j->theirs);
}

/* Where ours and theirs are not of one mind on whether a signature passes: by cause. */
static struct {
	const char *cause, *name, *has;
	unsigned expected, found;
} differences[] = {
	{"l= leaves a part unsigned: pass", "append-", "-l.eml", 8, 0},
	{"a bare RSAPublicKey in p= cannot be read", "key-pkcs1", ".eml", 1, 0},
};

static bool
is_known(const char *name)
{
	for (size_t i = 0; i < sizeof(differences) / sizeof(differences[0]); i++) {
		if (strncmp(name, differences[i].name, strlen(differences[i].name)) == 0 &&
			strstr(name, differences[i].has) != NULL) {
			differences[i].found++;
			return true;
		}
	}
	return false;
}

static void
tell(unsigned mails, unsigned same)
{
	const char *path = getenv("POSTERN_FIGURES");
	FILE *f = path != NULL ? fopen(path, "a") : NULL;
	print_message("libopendkim and we agree on %u of %u mails\n", same, mails);
	for (size_t i = 0; i < sizeof(differences) / sizeof(differences[0]); i++)
		print_message(
			"  %u: libopendkim: %s\n", differences[i].found, differences[i].cause);
	if (f == NULL)
		return;
	fprintf(f,
		"dkim-matrix-own\tours %u of %u, libopendkim %u\t"
		"mails judged right; the library takes l= as whole and no bare RSAPublicKey\n",
		mails, mails, same);
	fclose(f);
}

static void
test_dkim_matrix(void **state)
{
	(void)state;
	char folder[PATH_MAX];
	unsigned mails = 0, same = 0, unknown = 0;
	struct engine_opendkim_request keys = {0};
	const char *source = getenv("POSTERN_SOURCE");
	assert_non_null(source);
	snprintf(folder, sizeof(folder), "%s/tests/data/dkim-matrix-own", source);
	struct arena *whole = arena;
	read_keys(folder, &keys);
	DIR *d = opendir(folder);
	assert_non_null(d);
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		if (strstr(e->d_name, ".eml") == NULL)
			continue;
		struct judged j;
		bool differ = false;
		arena = arena_new(ARENA_MOST);
		struct slice mail = read_file(folder, e->d_name);
		judge(mail, &keys, mails % 2 == 0 || mail.n > SECOND_INLINE_BYTES, &j);
		arena_free(&arena);
		arena = whole;
		for (size_t i = 0; i < j.n; i++)
			differ |= (j.ours[i] == DKIM_PASS) != (j.theirs[i] == DKIM_PASS);
		for (size_t i = 0; differ && i < j.n; i++)
			print_message("%s %zu: ours %s, theirs %s\n", e->d_name, i,
				dkim_result_text(j.ours[i]), dkim_result_text(j.theirs[i]));
		unknown += differ && !is_known(e->d_name);
		mails++;
		same += !differ;
	}
	closedir(d);
	tell(mails, same);
	assert_int_equal(mails, 174);
	assert_int_equal(unknown, 0);
	for (size_t i = 0; i < sizeof(differences) / sizeof(differences[0]); i++)
		assert_int_equal(differences[i].found, differences[i].expected);
}

/* A mail in a file of some megabytes, and one that is not there. */
static void
test_dkim_sizes(void **state)
{
	(void)state;
	char folder[PATH_MAX];
	struct engine_opendkim_request keys = {0};
	struct judged j;
	snprintf(folder, sizeof(folder), "%s/tests/data/dkim-matrix-own",
		getenv("POSTERN_SOURCE"));
	read_keys(folder, &keys);
	struct slice mail = read_file(folder, "append-rsa-sha256-relaxed-relaxed-n.eml");
	char *large = arena_alloc(arena, (4 << 20) + mail.n);
	memset(large, 'x', (4 << 20) + mail.n);
	memcpy(large, mail.p, mail.n);
	for (size_t at = mail.n; at + 80 < (4 << 20); at += 80)
		memcpy(large + at + 78, "\r\n", 2);
	memcpy(large + (4 << 20) + mail.n - 2, "\r\n", 2);
	judge((struct slice){large, (4 << 20) + mail.n}, &keys, true, &j);
	assert_int_equal(j.n, 1);
	assert_int_equal(j.ours[0], DKIM_FAIL);
	assert_int_equal(j.theirs[0], DKIM_FAIL);
	struct second_job job = {
		.engine = SECOND_OPENDKIM, .input = SLICE("no request"), .bytes = 0};
	serving_clear(&engine);
	unsigned at = ask(&job, -1);
	serving_wait(&engine);
	assert_int_equal(output(at).n, 0);
}

/* Time is the request's: what was signed 30 days from now is refused (t=, DKIM_SKEW_S). */
static void
test_dkim_clock(void **state)
{
	(void)state;
	char folder[PATH_MAX];
	struct engine_opendkim_request keys = {0};
	enum dkim_result results[DKIM_SIGNATURES_MOST];
	snprintf(folder, sizeof(folder), "%s/tests/data/dkim-matrix-own",
		getenv("POSTERN_SOURCE"));
	read_keys(folder, &keys);
	while (!slice_starts(keys.keys[0].name, SLICE("r2048.")))
		keys.keys++;
	keys.n = 1;
	keys.wall_s = WALL_S;
	struct slice mail = read_file(folder, "ok-rsa-sha256-relaxed-relaxed-n.eml");
	verify(mail, &keys, false, 1, results);
	assert_int_equal(results[0], DKIM_PASS);
	keys.wall_s = WALL_S - 30 * 24 * 3600;
	verify(mail, &keys, false, 1, results);
	assert_int_equal(results[0], DKIM_FAIL);
}

/* What is no job is answered, and the next one is served. */
static void
test_nonsense(void **state)
{
	(void)state;
	struct engine_spf2_reply reply;
	serving_clear(&engine);
	unsigned at = serving_ask(&engine, SECOND_MSG_RUN, SLICE("nonsense"), -1);
	struct second_job job = {.engine = SECOND_SPF2, .input = SLICE("\1\4")};
	unsigned short_one = ask(&job, -1);
	serving_wait(&engine);
	assert_int_equal(output(at).n, 0);
	assert_int_equal(output(short_one).n, 0);
	assert_true(spf("a@pass.example", zone, ZONE, &reply));
	assert_int_equal(reply.result, SPFR_PASS);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_spf_results),
		cmocka_unit_test(test_spf_macros),
		cmocka_unit_test(test_killed),
		cmocka_unit_test(test_dkim_matrix),
		cmocka_unit_test(test_dkim_sizes),
		cmocka_unit_test(test_dkim_clock),
		cmocka_unit_test(test_nonsense),
	};
	return cmocka_run_group_tests(tests, open_engine, close_engine);
}
