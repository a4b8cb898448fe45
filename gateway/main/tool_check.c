/*
 * `postern check`: reads a configuration as posternd does, opens nothing, and prints for each
 * rule at which stage it can decide, what it costs and what it delays. `--defaults` adds what
 * is not written: the defaults of the settings and the rules that are built in.
 */
#include <string.h>

#include "conf/schema.h"
#include "main/generation.h"
#include "main/tool.h"

enum { TEXT_MOST = 16 << 20 };

/* What holds before the first rule of a block, as rules would say it. */
static const char built_in[] =
	"\nbuilt in, inbound:\n"
	"  reject with \"550 5.7.1\"    recipient.domain is not declared (no relaying)\n"
	"  reject with \"552 5.3.4\"    the mail is larger than `mail size`, its header than\n"
	"                             `header bytes`\n"
	"  reject with \"554 5.4.6\"    more Received fields than `received` (a loop)\n"
	"  reject with \"550 5.6.0\"    a malformed header, more than one From or author "
	"domain\n"
	"                             (unless the listener says `header rules off`)\n"
	"  defer  with \"452 4.5.3\"    more recipients than `recipients`; without a spool, "
	"and by\n"
	"                             a milter, also another next hop, or other rules open "
	"than\n"
	"                             for the first recipient\n"
	"  defer  with \"451 4.3.0\"    without a spool, and by a milter: the recipients are "
	"decided\n"
	"                             differently after the data\n"
	"  defer  with \"452 4.3.1\"    more mail is under way than `memory`\n"
	"  postmaster@ and abuse@ of a declared domain pass all rules but virus and rate\n"
	"\nbuilt in, outbound:\n"
	"  reject with \"530 5.7.0\"    neither an account nor a network of `from`\n"
	"  reject with \"553 5.7.1\"    the reverse-path is not what `user ... sends as` "
	"allows,\n"
	"  reject with \"550 5.7.1\"    nor the author in From\n"
	"  the rest as inbound\n";

int
tool_usage(const struct tool *t, const char *text)
{
	fprintf(t->err, "usage: postern %s\n", text);
	return 2;
}

void
tool_print(FILE *f, struct slice text)
{
	if (text.n != 0)
		fwrite(text.p, 1, text.n, f);
}

static void
print_defaults(const struct tool *t, struct arena *a)
{
	fputs("defaults:\n", t->out);
	tool_print(t->out, schema_defaults_text(a));
	fputs(built_in, t->out);
}

/* The first that is said: a gateway whose rules do not hold. */
static void
print_modes(const struct tool *t, const struct conf *c)
{
	static const char *const texts[] = {[MODE_OBSERVE] =
						    "what rules refuse, keep or drop goes "
						    "on, with a header field and an event",
		[MODE_SOFT] = "what rules refuse for good is put off (4xx)"};
	bool same = c->mode != MODE_RULES;
	for (size_t i = 0; i < c->n_listeners; i++)
		same = same && c->listeners[i].mode == c->mode;
	if (same)
		fprintf(t->out, "mode %s: %s\n", conf_mode_text(c->mode), texts[c->mode]);
	for (size_t i = 0; !same && i < c->n_listeners; i++) {
		const struct conf_listener *l = &c->listeners[i];
		if (l->mode != MODE_RULES)
			fprintf(t->out, "listen on \"%.*s\": mode %s: %s\n", SLICE_ARG(l->text),
				conf_mode_text(l->mode), texts[l->mode]);
	}
}

int
tool_check(const struct tool *t, int n, char *const words[])
{
	const char *path = t->config;
	bool defaults = n > 0 && strcmp(words[0], "--defaults") == 0;
	if (n > 1 + defaults || (n > defaults && words[defaults][0] == '-'))
		return tool_usage(t, "check [--defaults] [FILE]");
	if (n > defaults)
		path = words[defaults];
	struct arena *a = arena_new(TEXT_MOST);
	struct conf_report report;
	conf_report_init(&report);
	struct generation *g = generation_read(path, &report);
	tool_print(t->err, conf_report_text(&report, a));
	if (g != NULL)
		print_modes(t, g->conf);
	for (int d = INBOUND; g != NULL && d <= OUTBOUND; d++) {
		if (g->policy[d] == NULL)
			continue;
		fprintf(t->out, "%s:\n", d == INBOUND ? "inbound" : "outbound");
		tool_print(t->out, policy_check_text(g->policy[d], a));
	}
	if (defaults)
		print_defaults(t, a);
	if (g != NULL)
		fprintf(t->out, "%s: right, %zu warnings\n", path, report.n - report.n_errors);
	int status = g != NULL ? 0 : 1;
	if (g != NULL)
		generation_free(&g, NULL);
	conf_report_fini(&report);
	arena_free(&a);
	return status;
}
