/*
 * `postern doctor`: looks at the gateway as the world sees it and says, for each thing, whether
 * it is well, by what evidence, and what to do. Nothing is changed and no mail is sent; the
 * scanners beside us are shown one that is made for it. The exit status is the worst that was
 * found.
 */
#include <stdarg.h>
#include <string.h>

#include "main/doctor_priv.h"

enum { DOCTOR_ARENA = 256 * 1024 * 1024, ADVICE_MOST = 1200, CALLED_WRONGLY = 64 };

static const char usage[] = "doctor [--json] [--listen] [--address ADDRESS ...] [--dns FILE]";

static const char *
state_text(enum doctor_state s)
{
	return s == DOCTOR_OK ? "ok" : s == DOCTOR_WARN ? "warn" : "fail";
}

/* In one line: other bytes than printable ones came from strangers. */
static struct slice
clean(struct doctor *d, struct slice s)
{
	char *p = arena_text(d->arena, s);
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)p[i] < ' ' || p[i] == 0x7f)
			p[i] = p[i] == '\n' ? ' ' : '?';
	return (struct slice){p, s.n};
}

void
doctor_say(struct doctor *d, enum doctor_state state, const char *check, struct slice subject,
	struct slice found, const char *advice, ...)
{
	char text[ADVICE_MOST] = "";
	va_list ap;
	va_start(ap, advice);
	if (advice != NULL)
		vsnprintf(text, sizeof(text), advice, ap);
	va_end(ap);
	if (state > d->worst)
		d->worst = state;
	subject = clean(d, subject);
	found = clean(d, found);
	struct slice todo = clean(d, slice_of(text));
	if (!d->json) {
		fprintf(d->tool->out, "%-5s %s%s%.*s: %.*s\n", state_text(state), check,
			subject.n != 0 ? " " : "", SLICE_ARG(subject), SLICE_ARG(found));
		if (todo.n != 0)
			fprintf(d->tool->out, "      -> %.*s\n", SLICE_ARG(todo));
		return;
	}
	json_begin(&d->out, NULL, '{');
	json_text(&d->out, "state", slice_of(state_text(state)));
	json_text(&d->out, "check", slice_of(check));
	json_text(&d->out, "subject", subject);
	json_text(&d->out, "found", found);
	if (todo.n != 0)
		json_text(&d->out, "advice", todo);
	json_end(&d->out, '}');
}

static void (*const checks[])(struct doctor *d) = {
	doctor_clock,
	doctor_addresses,
	doctor_ptr,
	doctor_helo,
	doctor_mx,
	doctor_spf,
	doctor_dkim,
	doctor_dmarc,
	doctor_certificates,
	doctor_listeners,
	doctor_neighbours,
	doctor_spool,
	doctor_keeper,
};

static void
examine(struct doctor *d)
{
	json_init(&d->out, d->tool->out);
	if (d->json) {
		json_begin(&d->out, NULL, '{');
		json_begin(&d->out, "checks", '[');
	}
	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
		checks[i](d);
		fflush(d->tool->out);
	}
	if (d->json) {
		json_end(&d->out, ']');
		json_text(&d->out, "worst", slice_of(state_text(d->worst)));
		json_end(&d->out, '}');
		json_line(&d->out);
	}
}

static bool
read_options(struct doctor *d, int n, char *const words[])
{
	for (int i = 0; i < n; i++) {
		if (strcmp(words[i], "--json") == 0) {
			d->json = true;
		} else if (strcmp(words[i], "--listen") == 0) {
			d->listen = true;
		} else if (strcmp(words[i], "--dns") == 0 && i + 1 < n) {
			d->dns_file = words[++i];
		} else if (strcmp(words[i], "--address") == 0 && i + 1 < n &&
			   d->n_addresses < DOCTOR_ADDRESSES_MOST &&
			   ip_parse(slice_of(words[i + 1]), &d->addresses[d->n_addresses])) {
			d->n_addresses++;
			d->given = true;
			i++;
		} else {
			return false;
		}
	}
	return true;
}

static int
run(struct doctor *d)
{
	struct answers_config config = {.conf = d->conf, .dns_file = d->dns_file};
	struct err err;
	d->answers = answers_new(&config, &err);
	if (d->answers == NULL) {
		fprintf(d->tool->err, "postern: %s\n", err.text);
		return DOCTOR_FAIL;
	}
	questions_init(&d->questions, d->arena);
	examine(d);
	answers_free(&d->answers);
	return (int)d->worst;
}

int
tool_doctor(const struct tool *t, int n, char *const words[])
{
	struct doctor d = {.tool = t};
	struct conf_report report;
	if (!read_options(&d, n, words)) {
		tool_usage(t, usage);
		return CALLED_WRONGLY;
	}
	int status = DOCTOR_FAIL;
	d.arena = arena_new(DOCTOR_ARENA);
	conf_report_init(&report);
	struct generation *g = generation_read(t->config, &report);
	if (g == NULL) {
		tool_print(t->err, conf_report_text(&report, d.arena));
	} else {
		d.generation = g;
		d.conf = g->conf;
		status = run(&d);
		generation_free(&g, NULL);
	}
	conf_report_fini(&report);
	arena_free(&d.arena);
	return status;
}
