/*
 * `postern facts`, `postern facts spam`, `postern sample`, `postern manual`: what the tables
 * say, for people. The manual pages are made by these when Postern is built, so that they
 * cannot fall behind.
 */
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "conf/schema.h"
#include "filters/facts.h"
#include "filters/spam_evidence.h"
#include "main/tool.h"
#include "session/milter_forms.h"

enum { TEXT_MOST = 8 << 20 };

static void
print_words(FILE *f, const struct fact_decl *d)
{
	if (d->words == NULL)
		return;
	for (size_t i = 0; d->words[i] != NULL; i++)
		fprintf(f, "%s%s", i == 0 ? " One of: " : ", ", d->words[i]);
	fputs(".", f);
}

/* Group by group: what all of one counts at most stands behind each. */
static void
print_evidence(FILE *f, const struct conf_filter *set)
{
	const double *weights = set != NULL ? set->made : NULL;
	fprintf(f, "%-26s %7s %7s %7s %s\n", "EVIDENCE", "WEIGHT", "SHIPPED", "GROUP",
		"WHAT IT IS");
	for (size_t i = 0; i < SPAM_EVIDENCES; i++) {
		const struct spam_evidence *e = &spam_evidence_table[i];
		const struct spam_group_bound *group = &spam_group_bounds[e->group];
		if (i != 0 && e->group != e[-1].group)
			fputc('\n', f);
		fprintf(f, "%-26s %+7.2f %+7.2f %+7.2f %s\n", e->name,
			weights != NULL ? weights[i] : e->weight, e->weight,
			e->weight < 0 ? group->least : group->most, e->text);
	}
	fputs("\nGROUP: what is found of a group counts together at most, by the shipped "
	      "weights.\n",
		f);
}

/* What speaks for spam and against it, as the configuration weighs it, if there is one. */
static int
facts_spam(const struct tool *t)
{
	struct conf_report report;
	struct conf *c = NULL;
	conf_report_init(&report);
	if (access(t->config, F_OK) == 0)
		c = conf_read(t->config, &report);
	if (c != NULL)
		filters_check(c, &report);
	int status = report.n_errors != 0 ? 1 : 0;
	if (status == 0) {
		print_evidence(t->out, c != NULL ? conf_filter_find(c, "spam") : NULL);
	} else {
		struct arena *a = arena_new(TEXT_MOST);
		tool_print(t->err, conf_report_text(&report, a));
		arena_free(&a);
	}
	conf_free(&c);
	conf_report_fini(&report);
	return status;
}

int
tool_facts(const struct tool *t, int n, char *const words[])
{
	if (n == 1 && strcmp(words[0], "spam") == 0)
		return facts_spam(t);
	if (n != 0)
		return tool_usage(t, "facts [spam]");
	const struct fact_decl *const *decls = facts_all();
	fprintf(t->out, "%-22s %-12s %-10s %-8s %-8s %s\n", "FACT", "TYPE", "SCOPE", "STAGE",
		"COST", "WHAT IT IS");
	for (size_t i = 0; decls[i] != NULL; i++) {
		const struct fact_decl *d = decls[i];
		fprintf(t->out, "%-22s %-12s %-10s %-8s %-8s %s",
			d->phrase != NULL ? d->phrase : d->name, fact_type_text(d->type),
			fact_scope_text(d->scope), fact_stage_text(d->stage),
			fact_cost_text(d->cost), d->text);
		print_words(t->out, d);
		fputc('\n', t->out);
	}
	return 0;
}

int
tool_sample(const struct tool *t, int n, char *const words[])
{
	(void)words;
	if (n != 0)
		return tool_usage(t, "sample");
	struct arena *a = arena_new(TEXT_MOST);
	tool_print(t->out, schema_sample(a));
	arena_free(&a);
	return 0;
}

static const char manual_head[] =
	".TH POSTERN.CONF 5\n"
	".SH NAME\n"
	"postern.conf \\- configuration of the mail gateway posternd(8)\n"
	".SH DESCRIPTION\n"
	"One file says where the gateway listens, which domains it guards, where mail goes, "
	"and the\n"
	"rules. Statements stand in any order, one a line; a line goes on behind a backslash "
	"or a\n"
	"comma, and where it ends or the next begins with and, or, then. Strings stand in "
	"double\n"
	"quotes, durations are 10s 5m 2h 3d, sizes 64K 25M, rates 200/hour, networks "
	"10.0.0.0/8;\n"
	"# begins a comment. Relative paths are relative to the file that names them.\n";

static const char manual_rules[] =
	".SH RULES\n"
	"Each rule of a block is an action and a condition behind \\fBif\\fR. For each "
	"recipient\n"
	"the rules are read from the top; the first ending action whose condition holds "
	"decides. A\n"
	"rule that is not yet known lets only a later \\fBreject\\fR decide, and only where "
	"all open\n"
	"rules above it are rejects too. A block ends in an ending rule without condition.\n"
	".PP\n"
	"Ending actions: \\fBaccept\\fR, \\fBreject\\fR [\\fBwith\\fR \"550 5.7.1 text\"],\n"
	"\\fBdefer\\fR [\\fBwith\\fR \"451 4.7.1 text\"], \\fBdiscard\\fR,\n"
	"\\fBquarantine\\fR [\"name\"] (with a spool, or in a milter); with a spool \\fBhold "
	"for\\fR DURATION (1s to 30d) and \\fBhold until\\fR \"HH:MM\" "
	"(local time).\n"
	"Others: \\fBroute to\\fR NEXTHOP (with a spool; the last one wins), \\fBtag\\fR\n"
	"\"Name: value\", \\fBremove header\\fR \"Name\", \\fBsign\\fR [\\fBas\\fR "
	"\"domain\"],\n"
	"\\fBredirect to\\fR and \\fBcopy to\\fR \"ADDRESS\" (with a spool, or in a milter),\n"
	"\\fBnotify\\fR \"ADDRESS\" (with a spool; at most one mail a minute for each rule),\n"
	"\\fBappend text\\fR \"TEXT\" or \\fBfile\\fR \"FILE\" [\\fBhtml\\fR \"TEXT\" or "
	"\\fBfile\\fR\n"
	"\"FILE\"] (outbound: under the mail, before it is signed; a signed, encrypted or "
	"malformed\n"
	"mail is left as it is),\n"
	"\\fBscore\\fR NUMBER, \\fBlog\\fR \"text\", and \\fBtry\\fR RULE, which only "
	"records.\n"
	".PP\n"
	"A condition joins tests with \\fBand\\fR, \\fBor\\fR, \\fBnot\\fR and parentheses. A "
	"test\n"
	"is a fact alone, or a fact and \\fBis\\fR, \\fBis not\\fR, \\fBin\\fR, \\fBnot "
	"in\\fR,\n"
	"\\fBmatches\\fR, \\fBcontains\\fR, <, <=, >, >= and a value. \\fBevery\\fR asks for "
	"all of\n"
	"a list, \\fBany\\fR LIST { ... } binds several tests to one of its elements.\n";

static void
print_milter(FILE *f)
{
	fputs(".SH AS A MILTER\n"
	      "Where \\fBlisten milter\\fR judges a mail, the MTA carries the decision out. A "
	      "forged Authentication-Results is removed, ours inserted, Received left to the "
	      "MTA. Each action becomes:\n",
		f);
	for (size_t i = 0; i < ACTION_COUNT; i++)
		fprintf(f, ".TP\n\\fB%s\\fR\n%s\n", action_text(milter_forms[i].action),
			milter_forms[i].form);
}

/* The section of posternd(8) that is made from the table. */
static int
print_events(const struct tool *t)
{
	fputs(".SH EVENTS\n"
	      "Each line of the log is one event: its time, event=NAME, the process, the "
	      "session "
	      "and mail\nthat it belongs to, then its own words as key=value.\n",
		t->out);
	for (int i = 0; i < LOG_EVENT_COUNT; i++) {
		enum log_event ev = (enum log_event)i;
		fprintf(t->out, ".TP\n\\fB%s\\fR\n%s.\n", log_event_name(ev),
			log_event_text(ev));
	}
	fputs(".SH SEE ALSO\npostern.conf(5), postern(1), freshclam(1)\n", t->out);
	return 0;
}

int
tool_manual(const struct tool *t, int n, char *const words[])
{
	if (n == 1 && strcmp(words[0], "events") == 0)
		return print_events(t);
	if (n != 0)
		return tool_usage(t, "manual [events]");
	struct arena *a = arena_new(TEXT_MOST);
	fputs(manual_head, t->out);
	tool_print(t->out, schema_manual(a));
	fputs(manual_rules, t->out);
	print_milter(t->out);
	fputs(".SH FACTS\n", t->out);
	const struct fact_decl *const *decls = facts_all();
	for (size_t i = 0; decls[i] != NULL; i++) {
		const struct fact_decl *d = decls[i];
		fprintf(t->out, ".TP\n\\fB%s\\fR (%s, %s)\n%s",
			d->phrase != NULL ? d->phrase : d->name, fact_type_text(d->type),
			fact_stage_text(d->stage), d->text);
		print_words(t->out, d);
		fputc('\n', t->out);
	}
	fputs(".SH SEE ALSO\nposternd(8), postern(8)\n", t->out);
	arena_free(&a);
	return 0;
}
