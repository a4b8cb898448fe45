/*
 * posternd: reads the configuration, opens what needs its rights, forks the processes that do
 * the work, and starts again those that end. `posternd -f FILE` stays in the foreground; -n
 * only checks.
 */
#include <err.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "io/child.h"
#include "main/family.h"

struct daemon {
	const char *path;
	struct loop *loop;
	struct family *family;
	struct loop_timer files; /* certificates are taken up again when they change */
};

enum { FILES_MS = 10 * 1000, FILES_MOST = 1024 * 1024 };

static void
print_report(const struct conf_report *r)
{
	struct arena *a = arena_new(1024 * 1024);
	struct slice text = conf_report_text(r, a);
	fwrite(text.p, 1, text.n, stderr);
	arena_free(&a);
}

static void
log_report(const struct conf_report *r)
{
	for (size_t i = 0; i < r->n; i++) {
		struct log_line l;
		log_begin(&l, r->problems[i].warning ? EV_WARNING : EV_CONFIG_ERROR, NULL);
		log_text(&l, "file", r->problems[i].at.file);
		log_number(&l, "line", r->problems[i].at.line);
		log_number(&l, "column", r->problems[i].at.column);
		log_text(&l, "error", r->problems[i].text);
		log_end(&l);
	}
}

/* A wrong configuration never replaces a running one, whoever asked. False: it is wrong. */
static bool
reload(struct daemon *d)
{
	struct conf_report report;
	struct err err;
	conf_report_init(&report);
	struct generation *g = generation_read(d->path, &report);
	log_report(&report);
	conf_report_fini(&report);
	if (g == NULL)
		return false;
	if (!family_has_room(d->family, g)) {
		err_set(&err, "sessions of several earlier configurations are still ending: "
			      "reload again in some minutes");
		log_error(EV_CONFIG_ERROR, NULL, &err);
		generation_free(&g, family_generation(d->family));
		return true;
	}
	if (generation_open(g, family_generation(d->family), &err) < 0) {
		log_error(EV_CONFIG_ERROR, NULL, &err);
		generation_free(&g, family_generation(d->family));
		return false;
	}
	log_open(g->conf->log_syslog ? LOG_TO_SYSLOG : LOG_TO_STDERR, "parent");
	family_start(d->family, g);
	return true;
}

static void
on_hup(void *arg, int signo)
{
	(void)signo;
	(void)reload(arg);
}

static void
on_files(void *arg)
{
	struct daemon *d = arg;
	const struct generation *g = family_generation(d->family);
	if (g != NULL && generation_files_changed(g) && !reload(d))
		family_files_seen(d->family); /* what is wrong is said once */
	loop_timer_set(&d->files, FILES_MS);
}

static void
on_term(void *arg, int signo)
{
	struct daemon *d = arg;
	struct log_line l;
	log_begin(&l, EV_STOP, NULL);
	log_number(&l, "signal", signo);
	log_end(&l);
	family_stop(d->family);
}

static void
on_child(void *arg, int signo)
{
	struct daemon *d = arg;
	(void)signo;
	family_reap(d->family);
}

/* A descriptor for each connection and large mail: all that we may have, whoever started us. */
static void
raise_limits(void)
{
	struct rlimit files;
	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return;
	files.rlim_cur = files.rlim_max < FILES_MOST ? files.rlim_max : FILES_MOST;
	(void)setrlimit(RLIMIT_NOFILE, &files); /* else as it is */
}

static int
run(struct daemon *d, struct generation *g, struct err *err)
{
	static char programs[4096];
	ssize_t n = readlink("/proc/self/exe", programs, sizeof(programs) - 1);
	if (n > 0) {
		programs[n] = '\0';
		*strrchr(programs, '/') = '\0';
	}
	d->loop = loop_new(err);
	if (d->loop == NULL)
		return -1;
	d->family = family_new(d->loop, programs, err);
	if (d->family == NULL || generation_open(g, NULL, err) < 0)
		return -1;
	if (loop_signal(d->loop, SIGCHLD, on_child, d, err) < 0 ||
		loop_signal(d->loop, SIGTERM, on_term, d, err) < 0 ||
		loop_signal(d->loop, SIGINT, on_term, d, err) < 0 ||
		loop_signal(d->loop, SIGHUP, on_hup, d, err) < 0)
		return -1;
	loop_timer_init(&d->files, d->loop, on_files, d);
	loop_timer_set(&d->files, FILES_MS);
	family_start(d->family, g);
	return loop_run(d->loop, err);
}

static int
daemon_main(struct daemon *d, bool check_only)
{
	struct conf_report report;
	struct err err;
	conf_report_init(&report);
	struct generation *g = generation_read(d->path, &report);
	print_report(&report);
	conf_report_fini(&report);
	if (g == NULL)
		return 1;
	if (check_only) {
		generation_free(&g, NULL);
		return 0;
	}
	log_open(g->conf->log_syslog ? LOG_TO_SYSLOG : LOG_TO_STDERR, "parent");
	raise_limits();
	int result = run(d, g, &err);
	if (result < 0)
		log_error(EV_SYSTEM_ERROR, NULL, &err);
	if (d->family != NULL && family_generation(d->family) == NULL && result < 0)
		generation_free(&g, NULL);
	if (d->loop != NULL)
		loop_timer_clear(&d->files);
	family_free(&d->family);
	loop_free(&d->loop);
	return result < 0 ? 1 : 0;
}

int
main(int argc, char **argv)
{
	struct daemon d = {.path = "/etc/postern/postern.conf"};
	bool check_only = false;
	int c;
	child_title_init(argc, argv);
	log_open(LOG_TO_STDERR, "parent");
	while ((c = getopt(argc, argv, "f:n")) != -1) {
		switch (c) {
		case 'f': d.path = optarg; break;
		case 'n': check_only = true; break;
		default: fprintf(stderr, "usage: posternd [-n] [-f FILE]\n"); return 2;
		}
	}
	if (optind != argc)
		errx(2, "unexpected argument %s", argv[optind]);
	return daemon_main(&d, check_only);
}
