/*
 * postern-scanner: started by posternd, never by hand. It is a program of its own because it is
 * linked with libclamav (GPL-2), and because what parses archives from strangers shares nothing
 * with what holds connections and keys.
 *
 *   postern-scanner -c FD [-d DATABASE] [-u USER] [-w WORKERS] [-t MS] [-s] [-P FD]
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "engine/look.h"
#include "engine/worker.h"
#include "io/child.h"
#include "scan/append_messages.h"
#include "scan/messages.h"
#include "scan/pattern_list.h"

enum { WORKER_MEMORY_MB = 2048, TMPFS_MB = 1024, TIME_MS = 60 * 1000 };

struct options {
	int control_fd, patterns_fd;
	char *database, *user; /* copies: the title is written over argv */
	unsigned workers;
	uint32_t time_ms;
	bool syslog;
	struct pattern_set *patterns[2];
};

/* Compiled once, for all workers. */
static int
take_patterns(struct options *o, struct err *err)
{
	static const enum pattern_kind kinds[] = {[SCAN_PATTERN_PLAIN] = PATTERN_PLAIN_TEXT,
		[SCAN_PATTERN_LUHN] = PATTERN_WITH_LUHN,
		[SCAN_PATTERN_IBAN] = PATTERN_WITH_IBAN,
		[SCAN_PATTERN_WORDS] = PATTERN_PLAIN_TEXT};
	struct arena *a = arena_new(2 * (size_t)SCAN_PATTERN_LIST_MOST);
	struct scan_pattern *p = NULL;
	size_t n = 0;
	int result = o->patterns_fd < 0
			     ? 0
			     : scan_pattern_list_receive(o->patterns_fd, a, &p, &n, err);
	for (size_t i = 0; result == 0 && i < n; i++) {
		struct pattern_set *s = o->patterns[p[i].set];
		result = p[i].kind == SCAN_PATTERN_WORDS
				 ? pattern_set_add_words(s, p[i].text, err)
				 : pattern_set_add(s, p[i].text.n != 0 ? p[i].text.p : "",
					   p[i].nocase, kinds[p[i].kind], err);
	}
	arena_free(&a);
	return result;
}

static int
parse_options(int argc, char **argv, struct options *o, struct err *err)
{
	uint64_t number;
	int c;
	while ((c = getopt(argc, argv, "c:d:u:w:t:sP:")) != -1) {
		if (strchr("cwtP", c) != NULL &&
			(!slice_u64(slice_of(optarg), &number) || number > INT32_MAX))
			return err_set(err, "-%c wants a number", c);
		switch (c) {
		case 'c': o->control_fd = (int)number; break;
		case 'd': o->database = mem_text(optarg); break;
		case 'u': o->user = mem_text(optarg); break;
		case 'w': o->workers = (unsigned)number; break;
		case 't': o->time_ms = (uint32_t)number; break;
		case 's': o->syslog = true; break;
		case 'P': o->patterns_fd = (int)number; break;
		default: return err_set(err, "unknown option");
		}
	}
	if (o->control_fd < 0 || o->workers < 1 || o->workers > POOL_WORKERS_MOST ||
		o->time_ms == 0)
		return err_set(err, "postern-scanner is started by posternd, not by hand");
	return 0;
}

/*
 * Temporary files of scans: on a private tmpfs of limited size where we may make one, else in a
 * folder of our own, which is emptied at the end. The path is kept for the life of the process.
 */
static int
make_tmp(const char *user, char path[64], bool *mounted_out, struct err *err)
{
	snprintf(path, 64, "/tmp/postern-scanner.XXXXXX");
	*mounted_out = false;
	if (mkdtemp(path) == NULL)
		return err_sys(err, "make a folder for temporary files");
	if (geteuid() == 0 && unshare(CLONE_NEWNS) == 0 &&
		mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0) {
		char size[48];
		snprintf(size, sizeof(size), "size=%dm,mode=0777", TMPFS_MB);
		*mounted_out = mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
				       size) == 0;
	}
	if (!*mounted_out && user != NULL && chmod(path, 0777) < 0)
		return err_sys(err, "open up %s", path);
	return 0;
}

static int
run(const struct options *o, struct err *err)
{
	char tmp[64];
	bool mounted;
	struct virus_limits limits = virus_limits_default;
	/* Both together end before the manager ends them, and the report says why. */
	limits.time_ms = o->time_ms / 2;
	if (make_tmp(o->user, tmp, &mounted, err) < 0)
		return -1;
	struct virus_engine *engine = virus_engine_new(o->database, tmp, &limits, err);
	if (engine == NULL || child_drop_user(o->user, NULL, err) < 0 ||
		child_harden(err) < 0) {
		virus_engine_free(&engine);
		return -1;
	}
	struct log_line l;
	log_begin(&l, EV_SCAN, NULL);
	log_number(&l, "signatures", virus_engine_signatures(engine));
	log_text(&l, "temporary", mounted ? "private tmpfs" : tmp);
	log_end(&l);
	look_init();
	struct worker_start worker = {.engine = engine,
		.patterns = {o->patterns[0], o->patterns[1]},
		.tmp_dir = tmp,
		.look_ms = o->time_ms / 3,
		.memory_bytes = (uint64_t)WORKER_MEMORY_MB << 20};
	struct pool_start start = {.control_fd = o->control_fd,
		.workers = o->workers,
		.time_ms = o->time_ms,
		.deaths_most = 2,
		.worker = "scan-worker",
		.job = SCAN_MSG_SCAN,
		.answer = SCAN_MSG_REPORT,
		.failed = worker_failed,
		.other = {SCAN_MSG_APPEND, SCAN_MSG_PLAN, worker_append_failed},
		.run = worker_main,
		.arg = &worker};
	int result = pool_main(&start);
	virus_engine_free(&engine);
	if (!mounted)
		(void)rmdir(tmp);
	return result == 0 ? 0 : err_set(err, "the scanner ended by a fault");
}

int
main(int argc, char **argv)
{
	struct err err;
	struct options o = {.control_fd = -1,
		.patterns_fd = -1,
		.workers = 1,
		.time_ms = TIME_MS,
		.patterns = {pattern_set_new(), pattern_set_new()}};
	child_title_init(argc, argv);
	log_open(LOG_TO_STDERR, "scanner");
	int result = parse_options(argc, argv, &o, &err);
	if (result == 0)
		result = take_patterns(&o, &err);
	if (result == 0) {
		log_open(o.syslog ? LOG_TO_SYSLOG : LOG_TO_STDERR, "scanner");
		child_title("postern-scanner");
		result = run(&o, &err);
	}
	if (result < 0)
		log_error(EV_SYSTEM_ERROR, NULL, &err);
	mem_free(o.database);
	mem_free(o.user);
	pattern_set_free(&o.patterns[0]);
	pattern_set_free(&o.patterns[1]);
	return result < 0 ? 1 : 0;
}
