/*
 * Plays scenarios: a client's lines, the world's answers and a next hop from the script, in
 * memory and on a virtual clock (README.md has the language). Each is played against the gate
 * and through the milter, by lines and byte by byte, and these runs must tell the same. Exit 1
 * where anything differs.
 */
#include <err.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/must.h"
#include "play.h"
#include "session/notify.h"
#include "session/refusals.h"

enum { RUNS = 6, ARENA_MOST = 1024 * 1024 * 1024 };

/* UBSan and ASan speak to the real stderr, not to the file that takes the events. */
__attribute__((weak)) void __sanitizer_set_report_fd(void *fd);

static const int64_t play_begins_ms = 1800000000000; /* 2027-01-15 08:00 UTC */

/* The MTA of the later ones can do less: old ones, and those that want an answer to all. */
static const struct {
	const char *name;
	const struct driver *driver;
	bool by_byte;
	const char *mta; /* as a line `mta` of the script; NULL: as it is by default */
} runs[RUNS] = {
	{"gateway, by lines", &driver_gate, false, NULL},
	{"gateway, byte by byte", &driver_gate, true, NULL},
	{"milter, by lines", &driver_milter, false, NULL},
	{"milter, byte by byte", &driver_milter, true, NULL},
	{"milter, version 2", &driver_milter, false, "version 2"},
	{"milter, each step answered", &driver_milter, true, "without NR SKIP SETSYMLIST"},
};

/* One file, over all its runs. */
struct scenario {
	const char *file;
	struct slice text;
	const struct driver *only; /* NULL: both */
	char why[200];             /* `only` */
	bool has_mta;              /* says itself what its MTA is like */
	struct dkim_key *keys[PLAY_KEYS_MOST];
	struct record records[RUNS];
	struct arena *arena; /* of the records */
	int events_fd;
};

void
play_fail(struct play *p, const char *fmt, ...)
{
	va_list ap;
	if (p->failed)
		return;
	p->failed = true;
	printf("%s:%zu (%s): ", p->file, p->at + 1, p->run);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
}

int64_t
play_wall_ms(const struct play *p)
{
	return play_begins_ms + (int64_t)p->world.now_ms;
}

void
play_output(struct play *p, struct slice out)
{
	if (buf_add(&p->out, out) < 0)
		play_fail(p, "the client is told too much");
}

void
play_ask(struct play *p, struct question *q, struct questions *scope)
{
	world_ask(&p->world, q, scope);
	if (p->world.wrong.n != 0)
		play_fail(p, "%.*s", SLICE_ARG(p->world.wrong));
}

bool
play_sign(struct play *p, const struct sign_request *requests, size_t n,
	struct slice *signatures_out)
{
	unsigned char bytes[DKIM_SIGNATURE_BYTES_MOST];
	size_t length;
	struct err err;
	for (size_t i = 0; i < n; i++) {
		must(dkim_key_sign(p->keys[requests[i].key], requests[i].dkim.digest, bytes,
			     &length, &err) == 0);
		signatures_out[i] =
			arena_slice(p->arena, (struct slice){(const char *)bytes, length});
	}
	return !p->signer_down;
}

/* --- the script and its configuration */

/* A line for one driver alone begins with its name; inside of `config` none does. */
static struct play_line
make_line(const struct play *p, struct slice text)
{
	static const struct driver *const drivers[] = {&driver_gate, &driver_milter};
	struct slice name, rest;
	slice_cut(text, ' ', &name, &rest);
	for (size_t i = 0; i < 2; i++)
		if (slice_eq(name, slice_of(drivers[i]->name)))
			return (struct play_line){rest, true, drivers[i] != p->driver};
	return (struct play_line){.text = text};
}

static void
cut_script(struct play *p, struct slice text)
{
	struct slice line;
	while (text.n != 0 && p->n_lines < PLAY_LINES_MOST) {
		slice_cut(text, '\n', &line, &text);
		p->lines[p->n_lines++] = make_line(p, line);
	}
}

/* A line of the configuration: $TESTS is the folder above that of the play. */
static void
write_config_line(const struct play *p, int fd)
{
	struct slice rest = p->lines[p->at].text, mark = SLICE("$TESTS");
	char path[PATH_MAX];
	if (realpath(p->file, path) == NULL)
		err(2, "%s", p->file);
	struct slice file = slice_of(path);
	struct slice dir = slice_first(file, slice_find_last(file, '/'));
	for (size_t at; (at = slice_find_slice(rest, mark)) < rest.n;
		rest = slice_from(rest, at + mark.n))
		if (dprintf(fd, "%.*s%.*s/..", SLICE_ARG(slice_first(rest, at)),
			    SLICE_ARG(dir)) < 0)
			err(2, "memfd");
	if (dprintf(fd, "%.*s\n", SLICE_ARG(rest)) < 0)
		err(2, "memfd");
}

/* The lines between `config` and `end`, through a file, as the parser wants one; numbered as in
 * the script. */
static int
write_config(struct play *p)
{
	int fd = memfd_create("play", MFD_CLOEXEC);
	if (fd < 0)
		err(2, "memfd_create");
	for (; p->at < p->n_lines && !slice_eq(p->lines[p->at].text, SLICE("config")); p->at++)
		if (dprintf(fd, "\n") < 0)
			err(2, "memfd");
	if (dprintf(fd, "\n") < 0)
		err(2, "memfd");
	for (p->at++; p->at < p->n_lines && !slice_eq(p->lines[p->at].text, SLICE("end"));
		p->at++)
		write_config_line(p, fd);
	p->at++;
	return fd;
}

/* Keys of the play's own, one for each `sign`; Postern knows their algorithm alone. */
static void
make_keys(struct play *p)
{
	struct sign_key *keys = arena_array(p->arena, p->conf->n_signs, sizeof(*keys));
	struct err why;
	must(p->conf->n_signs <= PLAY_KEYS_MOST);
	for (size_t i = 0; i < p->conf->n_signs; i++) {
		keys[i].algorithm = DKIM_ED25519_SHA256;
		if (p->keys[i] == NULL)
			must(dkim_key_generate(DKIM_ED25519_SHA256, 0, &p->keys[i], &why) == 0);
	}
	p->config.keys = keys;
}

/* What all session processes share: one table for each play. */
static void
share(struct play *p)
{
	static struct account *account;
	struct err why;
	if (account == NULL)
		account = account_new(&why);
	p->config.refusals = refusals_new(&why);
	p->config.notices = notices_new(&why);
	if (account == NULL || p->config.refusals == NULL || p->config.notices == NULL)
		errx(2, "%s", why.text);
	account_clear(account, 0);
	account_clear(account, 1);
	p->config.account = account;
}

static void
use_config(struct play *p, struct conf_report *report)
{
	const struct conf_listener *l = &p->conf->listeners[0];
	p->config = (struct gate_config){.conf = p->conf,
		.listener = l,
		.direction = l->kind == LISTEN_OUTBOUND ? OUTBOUND : INBOUND,
		.spill_dir = -1};
	filters_check(p->conf, report);
	p->config.policy =
		policy_compile(p->conf, p->config.direction, facts_all(), p->arena, report);
	share(p);
	make_keys(p);
}

static void
read_config(struct play *p)
{
	struct conf_report report;
	char name[64];
	int fd = write_config(p);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	conf_report_init(&report);
	p->conf = conf_read(name, &report);
	if (p->conf != NULL && p->conf->n_listeners != 0)
		use_config(p, &report);
	if (report.n_errors != 0)
		play_fail(p, "%.*s", SLICE_ARG(conf_report_text(&report, p->arena)));
	conf_report_fini(&report);
	close(fd);
}

/* --- a run */

static size_t
play_lines(struct play *p)
{
	size_t expected = 0;
	for (; p->at < p->n_lines && !p->failed; p->at++) {
		struct slice text = p->lines[p->at].text;
		expected += slice_starts(text, SLICE("< ")) ||
			    slice_starts(text, SLICE("got")) ||
			    slice_starts(text, SLICE("took"));
		script_play_line(p);
	}
	return expected;
}

static void
check_end(struct play *p)
{
	if (p->hop.n_got != 0)
		play_fail(p, "the next hop got a mail that no `got` tells of");
	if (p->world.n_told != 0)
		play_fail(p, "the state was told, and no `told` looks at it: %.*s",
			SLICE_ARG(p->world.told[0]));
	if (p->keeper.n_took != 0)
		play_fail(p, "the keeper was told something that no `took` tells of:\n    %.*s",
			SLICE_ARG(p->keeper.took[0]));
	if (keeper_unused(&p->keeper) != NULL)
		play_fail(p, "the keeper, or a remote, never gave one of its answers");
	for (size_t i = 0; i < p->hop.n_replies; i++)
		if (!p->hop.replies[i].used)
			play_fail(p, "the next hop never said \"%.*s\"",
				SLICE_ARG(p->hop.replies[i].text));
}

static bool
play_once(struct scenario *s, size_t run)
{
	static struct play p;
	p = (struct play){.arena = arena_new(ARENA_MOST),
		.file = s->file,
		.run = runs[run].name,
		.driver = runs[run].driver,
		.by_byte = runs[run].by_byte,
		.keys = s->keys,
		.events_fd = s->events_fd,
		.record = {.arena = s->arena}};
	p.world.arena = p.hop.arena = p.keeper.arena = p.arena;
	buf_init(&p.out, PLAY_TEXT_MOST);
	mta_habits_init(&p.habits);
	if (runs[run].mta != NULL)
		must(mta_habit(&p.habits, slice_of(runs[run].mta)));
	if (ftruncate(s->events_fd, 0) < 0)
		err(2, "events");
	cut_script(&p, s->text);
	read_config(&p);
	if (play_lines(&p) == 0)
		play_fail(&p, "nothing is expected: the play checks nothing");
	script_end_session(&p);
	p.driver->over(&p);
	check_end(&p);
	s->records[run] = p.record;
	buf_fini(&p.out);
	conf_free(&p.conf);
	arena_free(&p.arena);
	return !p.failed;
}

/* --- a scenario: all its runs */

static void
read_only(struct scenario *s, struct slice words)
{
	struct slice name, why;
	slice_cut(words, ' ', &name, &why);
	s->only = slice_eq(name, SLICE("gateway")) ? &driver_gate : &driver_milter;
	if (why.n == 0 || !slice_eq(name, slice_of(s->only->name)))
		errx(2, "%s: `only gateway WHY` or `only milter WHY`", s->file);
	snprintf(s->why, sizeof(s->why), "%.*s", SLICE_ARG(why));
}

/* The script, and what decides which runs there are: `only`, and what its MTA is like. */
static void
read_script(struct scenario *s)
{
	struct stat st;
	struct slice line, verb;
	int fd = open(s->file, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size > PLAY_TEXT_MOST)
		err(2, "%s", s->file);
	char *text = arena_alloc(s->arena, (size_t)st.st_size + 1);
	if (read(fd, text, (size_t)st.st_size) != st.st_size)
		err(2, "%s", s->file);
	close(fd);
	s->text = (struct slice){text, (size_t)st.st_size};
	for (struct slice rest = s->text; rest.n != 0;) {
		slice_cut(rest, '\n', &line, &rest);
		slice_cut(line, ' ', &verb, &line);
		if (slice_eq(verb, SLICE("only")))
			read_only(s, line);
		s->has_mta |= slice_eq(verb, SLICE("mta"));
	}
}

static bool
same_as(const struct scenario *s, size_t first, size_t run)
{
	size_t line;
	const char *how = record_differ(&s->records[first], &s->records[run], s->arena, &line);
	if (how == NULL)
		return true;
	printf("%s:%zu (%s): told otherwise than to the %s. It was%s\n", s->file, line + 1,
		runs[run].name, runs[first].name, how);
	return false;
}

/* Runs that went well are held against the first. */
static bool
play_all(struct scenario *s)
{
	bool ok = true;
	size_t first = RUNS;
	for (size_t i = 0; i < RUNS; i++) {
		if ((s->only != NULL && s->only != runs[i].driver) ||
			(s->has_mta && runs[i].mta != NULL))
			continue;
		ok &= play_once(s, i);
		if (first == RUNS)
			first = i;
		else
			ok = ok && same_as(s, first, i);
	}
	return ok;
}

static void
open_log(int *events_fd)
{
	int real = dup(STDERR_FILENO);
	*events_fd = memfd_create("events", MFD_CLOEXEC);
	if (*events_fd < 0 || real < 0 || fcntl(*events_fd, F_SETFL, O_APPEND) < 0 ||
		dup2(*events_fd, STDERR_FILENO) < 0)
		err(2, "events");
	if (__sanitizer_set_report_fd != NULL)
		__sanitizer_set_report_fd((void *)(intptr_t)real);
	log_open(LOG_TO_STDERR, "play");
}

int
main(int argc, char **argv)
{
	int events_fd, wrong = 0, alone[2] = {0};
	if (argc < 2)
		errx(2, "usage: %s FILE.play ...", argv[0]);
	open_log(&events_fd);
	for (int i = 1; i < argc; i++) {
		struct scenario s = {.file = argv[i],
			.arena = arena_new(ARENA_MOST),
			.events_fd = events_fd};
		read_script(&s);
		wrong += !play_all(&s);
		if (s.only != NULL) {
			alone[s.only == &driver_milter]++;
			printf("%s: by the %s alone: %s\n", s.file, s.only->name, s.why);
		}
		for (size_t k = 0; k < PLAY_KEYS_MOST; k++)
			dkim_key_free(&s.keys[k]);
		arena_free(&s.arena);
	}
	printf("%d plays through both, %d by the gateway alone, %d by the milter alone; "
	       "%d wrong\n",
		argc - 1 - alone[0] - alone[1], alone[0], alone[1], wrong);
	return wrong != 0;
}
