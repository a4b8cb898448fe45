/*
 * Facts by words: see policy_lab.h. A value is `~` (it must be asked for, and the answer is not
 * there yet), `?` (a later stage), `!why` (failed), a word, a number, or `[a,b]`, with `+`
 * behind the list where more may come. A fact that is not in the line belongs to a later stage.
 * Blanks of an argument are written `_`: rate(user_>_5/hour)=true.
 */
#include "policy_lab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char *const spf_words[] = {
	"none", "neutral", "pass", "fail", "softfail", "temperror", "permerror", NULL};
static const char *const dmarc_words[] = {"none", "pass", "fail", "temperror", NULL};
static const char *const policy_words[] = {"none", "quarantine", "reject", NULL};

#define FACT(id, n, t, sc, st, c, ...)       \
	static const struct fact_decl id = { \
		.name = n, .type = t, .scope = sc, .stage = st, .cost = c, __VA_ARGS__}

FACT(client_ip, "client", FACT_IP, SCOPE_SESSION, STAGE_CONNECT, COST_FREE,
	.phrase = "client.ip");
FACT(client_name, "client.name", FACT_TEXT, SCOPE_SESSION, STAGE_CONNECT, COST_CHEAP);
FACT(dnsbl, "dnsbl", FACT_FLAG, SCOPE_SESSION, STAGE_CONNECT, COST_CHEAP,
	.phrase = "client in dnsbl", .arg = FACT_ARG_STRING, .skip = true);
FACT(sender, "sender", FACT_ADDRESS, SCOPE_MAIL, STAGE_MAIL, COST_FREE);
FACT(sender_domain, "sender.domain", FACT_DOMAIN, SCOPE_MAIL, STAGE_MAIL, COST_FREE);
FACT(spf, "spf", FACT_WORD, SCOPE_MAIL, STAGE_MAIL, COST_CHEAP, .words = spf_words);
FACT(recipient, "recipient", FACT_ADDRESS, SCOPE_RECIPIENT, STAGE_RCPT, COST_FREE);
FACT(recipient_domain, "recipient.domain", FACT_DOMAIN, SCOPE_RECIPIENT, STAGE_RCPT, COST_FREE);
FACT(known, "recipient known", FACT_FLAG, SCOPE_RECIPIENT, STAGE_RCPT, COST_DEAR,
	.phrase = "recipient is known");
FACT(greylisted, "greylisted", FACT_FLAG, SCOPE_RECIPIENT, STAGE_RCPT, COST_RESERVE);
FACT(rate, "rate", FACT_FLAG, SCOPE_MAIL, STAGE_MAIL, COST_RESERVE, .arg = FACT_ARG_LIMIT);
FACT(rate_recipients, "rate.recipients", FACT_FLAG, SCOPE_RECIPIENT, STAGE_RCPT, COST_RESERVE,
	.arg = FACT_ARG_LIMIT);
FACT(quota, "quota", FACT_FLAG, SCOPE_MAIL, STAGE_MAIL, COST_RESERVE, .arg = FACT_ARG_LIMIT);
FACT(quota_recipients, "quota.recipients", FACT_FLAG, SCOPE_RECIPIENT, STAGE_RCPT, COST_RESERVE,
	.arg = FACT_ARG_LIMIT);
FACT(recipients, "recipients", FACT_LIST_ADDRESS, SCOPE_MAIL, STAGE_DATA, COST_FREE);
FACT(from_domain, "from.domain", FACT_DOMAIN, SCOPE_MAIL, STAGE_HEADER, COST_FREE);
FACT(from_ours, "from.ours", FACT_FLAG, SCOPE_MAIL, STAGE_HEADER, COST_FREE);
FACT(subject, "subject", FACT_TEXT, SCOPE_MAIL, STAGE_HEADER, COST_FREE);
FACT(header, "header", FACT_TEXT, SCOPE_MAIL, STAGE_HEADER, COST_FREE, .arg = FACT_ARG_STRING);
FACT(dmarc, "dmarc", FACT_WORD, SCOPE_MAIL, STAGE_HEADER, COST_CHEAP, .words = dmarc_words);
FACT(dmarc_policy, "dmarc.policy", FACT_WORD, SCOPE_MAIL, STAGE_HEADER, COST_CHEAP,
	.words = policy_words);
FACT(dkim_domain, "dkim.domain", FACT_LIST_DOMAIN, SCOPE_MAIL, STAGE_BODY, COST_CHEAP);
FACT(size, "size", FACT_NUMBER, SCOPE_MAIL, STAGE_BODY, COST_FREE);
FACT(virus, "virus", FACT_FLAG, SCOPE_MAIL, STAGE_BODY, COST_DEAR);
FACT(attachment_name, "attachment.name", FACT_LIST_TEXT, SCOPE_MAIL, STAGE_BODY, COST_DEAR);
FACT(attachment_size, "attachment.size", FACT_LIST_NUMBER, SCOPE_MAIL, STAGE_BODY, COST_DEAR);
FACT(attachment_encrypted, "attachment.encrypted", FACT_LIST_FLAG, SCOPE_MAIL, STAGE_BODY,
	COST_DEAR);
FACT(body, "body", FACT_FLAG, SCOPE_MAIL, STAGE_BODY, COST_DEAR, .phrase = "body contains",
	.arg = FACT_ARG_WORD);

const struct fact_decl *const policy_lab_decls[] = {&client_ip, &client_name, &dnsbl, &sender,
	&sender_domain, &spf, &recipient, &recipient_domain, &known, &greylisted, &rate,
	&rate_recipients, &quota, &quota_recipients, &recipients, &from_domain, &from_ours,
	&subject, &header, &dmarc, &dmarc_policy, &dkim_domain, &size, &virus, &attachment_name,
	&attachment_size, &attachment_encrypted, &body, NULL};

static const char around[] =
	"\nhostname \"mx.example.com\"\n"
	"listen inbound on \"127.0.0.1:2525\"\n"
	"domain \"example.com\" deliver to \"127.0.0.1:2526\"\n"
	"domain \"example.org\" deliver to \"127.0.0.1:2526\" detail significant\n"
	"table partners { \"partner.example\", \"*.supplier.example\" }\n"
	"table staff { \"ann@example.com\", \"bob@example.org\" }\n"
	"table nets { \"10.0.0.0/8\", \"2001:db8::/32\" }\n"
	"pattern cards /\\b(?:\\d[ -]?){13,16}\\b/ luhn\n"
	"pattern secrets words { \"secret\" }\n"
	"pattern urgent /^urgent|act now/i\n"
	"pattern slow /^(?:a{1,40}){1,40}$/\n";

/* The parser wants a file: written beside nothing else, read, and gone again. */
static void
write_file(const char *path, const char *rules)
{
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fprintf(f, "inbound { %s\n}%s", rules, around) > 0);
	assert_int_equal(fclose(f), 0);
}

void
policy_lab_open(struct policy_lab *lab, const char *rules)
{
	char folder[] = "/tmp/policy-lab-XXXXXX";
	*lab = (struct policy_lab){.arena = arena_new(64 << 20)};
	conf_report_init(&lab->report);
	assert_non_null(mkdtemp(folder));
	assert_int_equal(chdir(folder), 0);
	write_file("t.conf", rules);
	lab->conf = conf_read("t.conf", &lab->report);
	assert_int_equal(unlink("t.conf"), 0);
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(rmdir(folder), 0);
	if (lab->conf != NULL)
		lab->policy = policy_compile(
			lab->conf, INBOUND, policy_lab_decls, lab->arena, &lab->report);
}

void
policy_lab_close(struct policy_lab *lab)
{
	conf_report_fini(&lab->report);
	conf_free(&lab->conf);
	arena_free(&lab->arena);
}

/* The word behind "NAME=" or "NAME(ARG)=" in the line; false: not there. */
static bool
find_fact(const struct policy_lab *lab, struct slice name, struct slice *word_out)
{
	struct slice rest = slice_of(lab->facts), word;
	while (rest.n != 0) {
		slice_cut(rest, ' ', &word, &rest);
		struct slice key, value;
		if (slice_cut(word, '=', &key, &value) && slice_eq(key, name)) {
			*word_out = value;
			return true;
		}
	}
	return false;
}

static struct value
one_value(struct slice word)
{
	struct value v = {.text = word, .flag = slice_eq(word, SLICE("true"))};
	v.number = word.n != 0 ? strtod(word.p, NULL) : 0;
	return v;
}

static struct value
list_value(struct policy_lab *lab, struct slice word)
{
	struct value v = {.growing = word.p[word.n - 1] == '+'};
	struct slice rest = slice_from(word, 1), one;
	rest.n -= v.growing ? 2 : 1;
	struct value *items = arena_array(lab->arena, rest.n + 1, sizeof(*items));
	while (rest.n != 0) {
		slice_cut(rest, ',', &one, &rest);
		items[v.n_items++] = one_value(one);
	}
	v.items = items;
	return v;
}

static struct slice
name_of(struct policy_lab *lab, const struct fact_ref *ref)
{
	if (ref->arg.n == 0)
		return slice_of(ref->decl->name);
	struct slice name =
		arena_printf(lab->arena, "%s(%.*s)", ref->decl->name, SLICE_ARG(ref->arg));
	char *text = arena_text(lab->arena, name);
	for (size_t i = 0; i < name.n; i++)
		if (text[i] == ' ')
			text[i] = '_';
	return (struct slice){text, name.n};
}

static enum fact_state
get(void *arg, const struct fact_ref *ref, enum fact_cost most, struct value *v)
{
	struct policy_lab *lab = arg;
	struct slice word, name = name_of(lab, ref);
	if (strchr(ref->decl->name, ' ') != NULL) /* words of the line have no space */
		name = SLICE("known");
	if (!find_fact(lab, name, &word) || slice_eq(word, SLICE("?")))
		return FACT_LATER;
	if (slice_eq(word, SLICE("~"))) {
		if (ref->decl->cost > most)
			return FACT_UNASKED;
		size_t used = strlen(lab->asked);
		snprintf(
			lab->asked + used, sizeof(lab->asked) - used, " %.*s", SLICE_ARG(name));
		return FACT_OPEN;
	}
	if (slice_starts(word, SLICE("!"))) {
		v->evidence = slice_from(word, 1);
		return FACT_FAILED;
	}
	*v = slice_starts(word, SLICE("[")) ? list_value(lab, word) : one_value(word);
	return FACT_KNOWN;
}

struct fact_source
policy_lab_source(struct policy_lab *lab)
{
	return (struct fact_source){get, lab};
}

void
policy_lab_eval(struct policy_lab *lab, const char *facts, bool postmaster, struct verdict *v)
{
	struct policy_subject whom = {.postmaster = postmaster};
	lab->facts = facts;
	lab->asked[0] = '\0';
	policy_eval(lab->policy, &whom, policy_lab_source(lab), lab->arena, v);
}

static struct slice
add(struct policy_lab *lab, struct slice text, const char *mark,
	const struct rule *const *rules, size_t n)
{
	for (size_t i = 0; i < n; i++)
		text = arena_printf(
			lab->arena, "%.*s %s%u", SLICE_ARG(text), mark, rules[i]->at.line);
	return text;
}

struct slice
policy_lab_text(struct policy_lab *lab, const struct verdict *v)
{
	struct slice text;
	if (!v->decided)
		text = arena_printf(lab->arena, "open%s%s%s%s", v->waits ? " waits=" : "",
			v->waits ? fact_cost_text(v->asked) : "",
			lab->asked[0] != '\0' ? " asked:" : "", lab->asked);
	else if (v->rule == NULL)
		text = arena_printf(
			lab->arena, "%s %.*s", action_text(v->action), SLICE_ARG(v->reply));
	else
		text = arena_printf(
			lab->arena, "%s@%u", action_text(v->action), v->rule->at.line);
	text = add(lab, text, "+", v->effects, v->n_effects);
	return add(lab, text, "try@", v->tries, v->n_tries);
}
