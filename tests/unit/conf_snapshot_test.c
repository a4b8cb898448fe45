/*
 * What a right configuration becomes: the snapshot's fields, tables' look-ups, and conditions
 * as trees (POLICY.md). Each case is a text; it is read through a memory file, as any other is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "conf/file.h"
#include "conf/number.h"
#include "conf/words.h"

static struct conf *
read_text(const char *text, struct conf_report *r)
{
	char path[64];
	int fd = memfd_create("conf", 0);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	conf_report_init(r);
	struct conf *c = conf_read(path, r);
	close(fd);
	return c;
}

static struct conf *
read_right(const char *text)
{
	struct conf_report r;
	struct conf *c = read_text(text, &r);
	if (c == NULL) {
		struct arena *a = arena_new(1 << 20);
		fail_msg("%.*s", SLICE_ARG(conf_report_text(&r, a)));
	}
	assert_int_equal(r.n, 0);
	conf_report_fini(&r);
	return c;
}

#define is(slice, literal) assert_true(slice_eq((slice), SLICE(literal)))

#define FRAME                                  \
	"hostname \"MX.Example.com\"\n"        \
	"spool \"/var/spool/postern\"\n"       \
	"listen inbound on \"127.0.0.1:25\"\n" \
	"domain \"example.com\" deliver to \"10.0.0.5\"\n"

/* --- conditions as text: (and (is virus) ...) */

static void
put_operand(struct buf *b, const struct operand *o)
{
	switch (o->kind) {
	case OPERAND_NONE: break;
	case OPERAND_STRING: buf_printf(b, " \"%.*s\"", SLICE_ARG(o->text)); break;
	case OPERAND_NUMBER:
		buf_printf(b, " %.10g%s%.1s", o->number, o->unit != 0 ? ":" : "", &o->unit);
		break;
	case OPERAND_RATE:
		buf_printf(b, " %.10g/%llu", o->number, (unsigned long long)o->span_ms);
		break;
	case OPERAND_WORD: buf_printf(b, " %.*s", SLICE_ARG(o->text)); break;
	case OPERAND_WORD_ARG:
		buf_printf(b, " %.*s[%.*s]", SLICE_ARG(o->text), SLICE_ARG(o->arg));
		break;
	case OPERAND_SET:
		buf_add_text(b, " {");
		for (size_t i = 0; i < o->n_items; i++)
			put_operand(b, &o->items[i]);
		buf_add_text(b, " }");
		break;
	}
}

static void
put_cond(struct buf *b, const struct cond *c)
{
	static const char *const ops[] = {
		"true", "is", "in", "matches", "contains", "<", "<=", ">", ">="};
	switch (c->kind) {
	case COND_ALWAYS: buf_add_text(b, "always"); return;
	case COND_TEST:
		if (c->limit != NULL) {
			struct arena *a = arena_new(4096);
			buf_printf(b, "(%.*s %.*s)", SLICE_ARG(c->fact),
				SLICE_ARG(limit_text(c->limit, a)));
			arena_free(&a);
			return;
		}
		buf_printf(b, "(%s%s %.*s", c->every ? "every " : "", ops[c->op],
			SLICE_ARG(c->fact));
		put_operand(b, &c->arg);
		if (c->op != OP_TRUE)
			put_operand(b, &c->value);
		break;
	case COND_NOT:
	case COND_AND:
	case COND_OR:
		buf_add_text(b, c->kind == COND_NOT   ? "(not "
				: c->kind == COND_AND ? "(and "
						      : "(or ");
		put_cond(b, c->a);
		if (c->b != NULL) {
			buf_add_text(b, " ");
			put_cond(b, c->b);
		}
		break;
	case COND_ANY:
		buf_printf(b, "(any %.*s ", SLICE_ARG(c->fact));
		put_cond(b, c->a);
		break;
	}
	buf_add_text(b, ")");
}

static void
test_conditions(void **state)
{
	static const struct {
		const char *text, *tree;
	} cases[] = {
		{"reject", "always"},
		{"reject if virus", "(true virus)"},
		{"reject if recipient is not known", "(not (is recipient known))"},
		{"reject if client in dnsbl \"zen.example\"", "(in client dnsbl[zen.example])"},
		{"reject if (client in dnsbl \"a.example\")", "(in client dnsbl[a.example])"},
		{"reject if from.domain in domains and dmarc is not pass",
			"(and (in from.domain domains) (not (is dmarc pass)))"},
		{"reject if spam > 0.99", "(> spam 0.99)"},
		{"reject if size >= 25M", "(>= size 26214400:s)"},
		{"reject if age < 10s", "(< age 10000:d)"},
		{"reject if rate user > 200/hour", "(rate user > 200/hour)"},
		{"reject if not quota sender.domain > 7 recipients/month or virus",
			"(or (not (quota sender.domain > 7 recipients/month)) (true virus))"},
		{"reject if header \"X-Spam\" contains \"yes\"",
			"(contains header \"X-Spam\" \"yes\")"},
		{"reject if body contains cards and recipient.domain not in partners",
			"(and (contains body cards) (not (in recipient.domain partners)))"},
		{"reject if a or b and c", "(or (true a) (and (true b) (true c)))"},
		{"reject if (a or b) and not c", "(and (or (true a) (true b)) (not (true c)))"},
		{"reject if not not a", "(not (not (true a)))"},
		{"reject if a or b or c", "(or (or (true a) (true b)) (true c))"},
		{"reject if every recipient.domain in { \"a.example\", \"b.example\" }",
			"(every in recipient.domain { \"a.example\" \"b.example\" })"},
		{"reject if any attachment { name matches \"*.zip\" and size > 10M }",
			"(any attachment (and (matches name \"*.zip\") (> size 10485760:s)))"},
		{"reject if client.ip in { 10.0.0.0/8 2001:db8::/32 }",
			"(in client.ip { \"10.0.0.0/8\" \"2001:db8::/32\" })"},
		{"reject if spf in { fail\n softfail }", "(in spf { fail softfail })"},
		{"reject if (a\n or b)\n and c", "(and (or (true a) (true b)) (true c))"},
		{"reject if a and\n b", "(and (true a) (true b))"},
		{"reject if a \\\n and b", "(and (true a) (true b))"},
		{"reject if sender not matches \"*@x\"", "(not (matches sender \"*@x\"))"},
		{"reject if subject contains \"a \\\"b\\\" \\\\\"",
			"(contains subject \"a \"b\" \\\")"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[1024];
		struct buf b;
		snprintf(text, sizeof(text), FRAME "inbound {\n%s\naccept\n}\n", cases[i].text);
		struct conf *c = read_right(text);
		buf_init(&b, 4096);
		assert_int_equal(c->inbound.n_rules, 2);
		put_cond(&b, c->inbound.rules[0].cond);
		buf_add_byte(&b, '\0');
		assert_string_equal(buf_slice(&b).p, cases[i].tree);
		assert_int_equal(c->inbound.rules[0].at.line, 6);
		assert_int_equal(c->inbound.rules[0].at.column, 1);
		buf_fini(&b);
		conf_free(&c);
	}
}

static void
test_actions(void **state)
{
	(void)state;
	struct conf *c = read_right(FRAME "inbound { # one line each\n"
					  "reject with \"550 5.7.1 no\" if a\ndefer\ndiscard\n"
					  "tag \"X-A: b\" if a\nremove header \"X-B\"\nsign as "
					  "\"EXAMPLE.com\"\nscore -1.5\n"
					  "log \"seen\"\ntry reject if a\naccept }\n");
	static const enum action actions[] = {ACTION_REJECT, ACTION_DEFER, ACTION_DISCARD,
		ACTION_TAG, ACTION_REMOVE_HEADER, ACTION_SIGN, ACTION_SCORE, ACTION_LOG,
		ACTION_REJECT, ACTION_ACCEPT};
	const struct rule *r = c->inbound.rules;
	assert_int_equal(c->inbound.n_rules, 10);
	for (size_t i = 0; i < 10; i++)
		assert_int_equal(r[i].action, actions[i]);
	is(r[0].text, "550 5.7.1 no");
	is(r[3].text, "X-A: b");
	is(r[4].text, "X-B");
	is(r[5].text, "example.com");
	assert_true(r[6].number == -1.5);
	is(r[7].text, "seen");
	assert_true(r[8].try_only && !r[0].try_only);
	assert_string_equal(action_text(ACTION_REMOVE_HEADER), "remove header");
	conf_free(&c);
}

static void
test_snapshot(void **state)
{
	(void)state;
	struct conf *c = read_right(FRAME
		"resolver \"127.0.0.1:5353\" insecure\nresolver \"[::1]\"\nlog to syslog\n"
		"user \"postern\"\nuser \"alice\" sends as { \"alice@Example.com\", "
		"\"@example.net\" }\n"
		"listen inbound on \"[2001:db8::1]:26\" proxied from { 10.0.0.0/8 } header "
		"rules off\n"
		"listen outbound on \"10.0.0.1:25\" from { 10.0.0.0/8 192.0.2.1 }\n"
		"listen inbound on \"10.0.0.1:26\" filter from { 10.0.0.2 } to "
		"\"10.0.0.2:26\" then \"10.0.0.3\" client by xforward\n"
		"listen inbound on \"10.0.0.1:27\" xclient from { 10.0.0.0/8 192.0.2.1 }\n"
		"domain \"b\xc3\xbc"
		"cher.example\" deliver to mx \"in.example\" tls required client by proxy \\\n"
		"  recipients table staff detail significant\n"
		"domain \"c.example\" recipients verify deliver to\\\n"
		" \"[2001:db8::5]:2525\" then \"lmtp:/run/x\" then \"lmtp:lmtp.example:24\"\n"
		" then balanced { \"10.0.0.1:25\" \"10.0.0.2:26\" }\n"
		"send smarthost \"relay.example:587\" tls required answer within 5s per mail\n"
		"destination \"slow.example\" { connections 2 tls required }\n"
		"filter spf { on failure skip }\n"
		"filter virus {\n\ttimeout 5s\n}\n"
		"limits { mail size 25M recipients 200 command time 30s }\n"
		"table staff { \"a@example.com\", \"*.sub.example\" }\n"
		"pattern cards /\\b(?:\\d[ -]?){13,16}\\b/i luhn\n"
		"inbound { accept }\noutbound { accept }\n");
	is(c->hostname, "mx.example.com");
	assert_int_equal(c->resolver.n_servers, 2);
	assert_int_equal(c->resolver.servers[0].port, 5353);
	assert_int_equal(c->resolver.servers[1].port, 53);
	assert_int_equal(c->resolver.servers[1].ip.family, 6);
	assert_true(c->resolver.insecure && c->log_syslog);
	is(c->user, "postern");
	const struct conf_user *alice = map_get(c->users, SLICE("alice"));
	assert_int_equal(alice->rights.n_sends_as, 2);
	is(alice->rights.sends_as[0], "alice@example.com");
	is(alice->rights.sends_as[1], "example.net");
	assert_int_equal(c->n_listeners, 5);
	assert_int_equal(c->listeners[1].port, 26);
	assert_int_equal(c->listeners[1].n_proxied, 1);
	assert_false(c->listeners[1].header_rules);
	assert_true(c->listeners[0].header_rules);
	assert_int_equal(c->listeners[2].kind, LISTEN_OUTBOUND);
	assert_int_equal(c->listeners[2].from[1].prefix, 32);
	assert_int_equal(c->listeners[2].filter.n + c->listeners[2].n_xclient, 0);
	const struct conf_listener *filter = &c->listeners[3];
	assert_int_equal(filter->n_peers, 1);
	assert_int_equal(filter->filter.n, 2);
	assert_int_equal(filter->filter.hops[0].port, 26);
	assert_int_equal(filter->filter.client, HOP_CLIENT_XFORWARD);
	assert_int_equal(c->listeners[4].n_xclient, 2);
	const struct conf_domain *d = conf_domain_find(c, SLICE("xn--bcher-kva.example"));
	assert_non_null(d);
	assert_int_equal(d->deliver.hops[0].kind, HOP_MX);
	assert_int_equal(d->deliver.client, HOP_CLIENT_PROXY);
	assert_true(d->deliver.tls_required && d->detail_significant && d->table != NULL);
	d = conf_domain_find(c, SLICE("c.example"));
	assert_int_equal(d->recipients, RECIPIENTS_VERIFY);
	assert_int_equal(d->deliver.n, 4);
	is(d->deliver.hops[0].host, "2001:db8::5");
	assert_int_equal(d->deliver.hops[0].port, 2525);
	assert_int_equal(d->deliver.hops[1].kind, HOP_LMTP_PATH);
	is(d->deliver.hops[1].host, "/run/x");
	assert_true(d->deliver.hops[2].lmtp && d->deliver.hops[2].port == 24);
	assert_int_equal(d->deliver.hops[3].n_items, 2);
	assert_null(conf_domain_find(c, SLICE("sub.c.example")));
	assert_int_equal(conf_domain_find(c, SLICE("example.com"))->deliver.hops[0].port, 25);
	assert_int_equal(c->send.way, SEND_SMARTHOST);
	assert_true(c->send.smarthosts.tls_required);
	assert_int_equal(c->send.wait_mail_ms, 5000);
	assert_int_equal(c->destinations[0].connections, 2);
	assert_int_equal(c->destinations[0].per_connection, 100);
	assert_int_equal(conf_filter_find(c, "spf")->on_failure, ON_FAILURE_SKIP);
	assert_int_equal(conf_filter_find(c, "virus")->timeout_ms, 5000);
	assert_null(conf_filter_find(c, "dkim"));
	assert_int_equal(c->limits.mail_bytes, 25 << 20);
	assert_int_equal(c->limits.recipients, 200);
	assert_int_equal(c->limits.command_ms, 30000);
	assert_int_equal(c->limits.data_ms, 600000);
	assert_int_equal(c->limits.memory_bytes, 512 << 20);
	const struct conf_pattern *p = map_get(c->patterns, SLICE("cards"));
	is(p->regex, "\\b(?:\\d[ -]?){13,16}\\b");
	assert_true(p->nocase && p->check == PATTERN_LUHN);
	conf_free(&c);
}

static void
test_tables(void **state)
{
	static const struct {
		const char *value;
		bool has;
	} cases[] = {
		{"partner.example", true},
		{"PARTNER.example", true},
		{"x.partner.example", false},
		{"a.supplier.example", true},
		{"b.a.supplier.example", true},
		{"supplier.example", false},
		{"asupplier.example", false},
		{"anyone@partner.example", true},
		{"anyone@a.supplier.example", true},
		{"anyone@supplier.example", false},
		{"boss@here.example", true},
		{"other@here.example", false},
		{"abuse@anywhere.example", true},
		{"x@all.example", true},
		{"all.example", false},
		{"xn--bcher-kva.example", true},
		{"10.1.2.3", true},
		{"11.1.2.3", false},
		{"2001:db8::9", true},
		{"", false},
		{"@", false},
		{"x@", false},
		{"@partner.example", true},
	};
	(void)state;
	struct conf *c = read_right(FRAME
		"table t { \"partner.example\", \"*.supplier.example\" \"Boss@here.example\"\n"
		"\"abuse@\", \"@all.example\", \"b\xc3\xbc"
		"cher.example\" 10.0.0.0/8 2001:db8::/32 }\n"
		"inbound { accept }\n");
	const struct conf_table *t = map_get(c->tables, SLICE("t"));
	assert_int_equal(t->n_items, 8);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if ((conf_table_look(t, slice_of(cases[i].value), c->arena) == PATTERN_YES) !=
			cases[i].has)
			fail_msg("%s", cases[i].value);
	conf_free(&c);
}

/* Bounds that keep a hostile or broken file from taking the parser's stack or memory. */
static void
test_bounds(void **state)
{
	static const struct {
		const char *begin, *repeat, *end;
		size_t n;
		const char *error;
	} cases[] = {
		{FRAME "inbound {\nreject if ", "not ", "a\naccept }\n", 1000, "too large"},
		{FRAME "inbound {\nreject if ", "(", "a\naccept }\n", 100000, "too large"},
		{FRAME "inbound {\nreject if a", " or a", "\naccept }\n", 499, NULL},
		{FRAME "inbound {\nreject if a", " or a", "\naccept }\n", 500, "too large"},
		{FRAME "inbound {\n", "log \"x\"\n", "accept }\n", 10001,
			"at most 10000 rules"},
		{FRAME "inbound {\nreject if a in { ", "b ", "}\naccept }\n", 10001,
			"use a table"},
		{FRAME "table t { ", "\"b\" ", "}\ninbound { accept }\n", 100001,
			"at most 100000 items"},
		{FRAME "inbound { accept }\n#", "xxxxxxxxxxxxxxxx", "\n", 65536, "larger than"},
		{FRAME "hostname \"", "xxxxxxxxxx", "\"\n", 500, "longer than 4096"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf b;
		struct conf_report r;
		buf_init(&b, 4 << 20);
		buf_add_text(&b, cases[i].begin);
		for (size_t n = 0; n < cases[i].n; n++)
			buf_add_text(&b, cases[i].repeat);
		buf_add_text(&b, cases[i].end);
		buf_add_byte(&b, '\0');
		struct conf *c = read_text(buf_slice(&b).p, &r);
		bool found = cases[i].error == NULL && r.n == 0;
		for (size_t n = 0; n < r.n && !found; n++)
			found = cases[i].error != NULL &&
				strstr(r.problems[n].text, cases[i].error) != NULL;
		if (!found)
			fail_msg("case %zu: %zu problems, first: %s", i, r.n,
				r.n ? r.problems[0].text : "");
		assert_int_equal(c == NULL, cases[i].error != NULL);
		conf_free(&c);
		conf_report_fini(&r);
		buf_fini(&b);
	}
}

/* A file that ends anywhere is right or wrong, never both, and no byte behind its end is read.
 */
static void
test_every_prefix(void **state)
{
	struct arena *a = arena_new(1 << 20);
	struct slice text;
	struct err err;
	(void)state;
	const char *path =
		arena_printf(a, "%s/tests/conf/whole.conf", getenv("POSTERN_SOURCE")).p;
	assert_int_equal(file_read(path, 65536, a, &text, &err), 0);
	for (size_t n = 0; n <= text.n; n++) {
		struct conf_report r;
		char *part = mem_array(n + 1, 1);
		memcpy(part, text.p, n);
		struct conf *c = read_text(part, &r);
		assert_int_equal(c != NULL, r.n_errors == 0);
		conf_free(&c);
		conf_report_fini(&r);
		mem_free(part);
	}
	arena_free(&a);
}

static void
write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

/* Includes: 16 deep and no deeper; a pipe is no configuration, and nobody waits for it. */
static void
test_includes(void **state)
{
	char folder[] = "/tmp/conf.XXXXXX", path[64], text[64];
	struct conf_report r;
	(void)state;
	assert_non_null(mkdtemp(folder));
	for (unsigned depth = 16; depth <= 17; depth++) {
		for (unsigned i = 0; i <= depth; i++) {
			snprintf(path, sizeof(path), "%s/%u", folder, i);
			snprintf(text, sizeof(text), "include \"%u\"\n", i + 1);
			write_file(path, i < depth ? text : FRAME "inbound { accept }\n");
		}
		snprintf(path, sizeof(path), "%s/0", folder);
		conf_report_init(&r);
		struct conf *c = conf_read(path, &r);
		assert_int_equal(c != NULL, depth == 16);
		if (depth == 17)
			assert_string_equal(
				r.problems[0].text, "includes are nested more than 16 deep");
		else
			assert_true(
				slice_ends(slice_of(c->listeners[0].at.file), SLICE("/16")));
		conf_free(&c);
		conf_report_fini(&r);
	}
	for (unsigned i = 0; i <= 17; i++) {
		snprintf(path, sizeof(path), "%s/%u", folder, i);
		unlink(path);
	}
	snprintf(path, sizeof(path), "%s/pipe", folder);
	assert_int_equal(mkfifo(path, 0600), 0);
	conf_report_init(&r);
	assert_null(conf_read(path, &r));
	assert_non_null(strstr(r.problems[0].text, "is no regular file"));
	conf_report_fini(&r);
	unlink(path);
	rmdir(folder);
}

/* Over 100 problems are counted and not kept. */
static void
test_many_problems(void **state)
{
	struct conf_report r;
	struct arena *a = arena_new(1 << 20);
	(void)state;
	conf_report_init(&r);
	for (unsigned i = 0; i < 150; i++)
		conf_error(&r, (struct conf_at){"f", 150 - i, 1}, "problem %u", i);
	assert_int_equal(r.n, 100);
	assert_int_equal(r.n_errors, 150);
	struct slice text = conf_report_text(&r, a);
	assert_true(slice_starts(text, SLICE("f:51:1: error: problem 99\n")));
	assert_true(slice_ends(text, SLICE("50 more errors are not shown\n")));
	conf_report_fini(&r);
	arena_free(&a);
}

static void
test_numbers(void **state)
{
	static const struct {
		const char *text;
		double number;
		char unit;
		bool ok;
	} cases[] = {
		{"0", 0, 0, true},
		{"12", 12, 0, true},
		{"0.5", 0.5, 0, true},
		{"-1.5", -1.5, 0, true},
		{"64K", 65536, 's', true},
		{"1G", 1073741824, 's', true},
		{"500ms", 500, 'd', true},
		{"3d", 259200000, 'd', true},
		{"1.5M", 0, 0, false},
		{"-1s", 0, 0, false},
		{"", 0, 0, false},
		{"-", 0, 0, false},
		{"1.", 0, 0, false},
		{".5", 0, 0, false},
		{"1k", 0, 0, false},
		{"1000000000000000", 1e15, 0, true},
		{"1000T", 0, 0, false},
		{"1000000000000001", 0, 0, false},
		{"99999999999999999999", 0, 0, false},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		double v = 0;
		char unit = 0;
		bool ok = number_parse(slice_of(cases[i].text), &v, &unit);
		if (ok != cases[i].ok ||
			(ok && (v != cases[i].number || unit != cases[i].unit)))
			fail_msg("%s: %d %g %c", cases[i].text, ok, v, unit);
	}
	struct arena *a = arena_new(4096);
	is(number_size_text(50 << 20, a), "50M");
	is(number_size_text(1000, a), "1000");
	is(number_duration_text(300000, a), "5m");
	is(number_duration_text(1500, a), "1500ms");
	arena_free(&a);
}

static void
test_words(void **state)
{
	static const char *const words[] = {"reject", "accept", "remove header"};
	(void)state;
	assert_int_equal(words_distance(SLICE("abcd"), SLICE("abdc")), 1);
	assert_int_equal(words_distance(SLICE(""), SLICE("abc")), 3);
	assert_int_equal(words_distance(SLICE("Abc"), SLICE("aBC")), 0);
	assert_string_equal(words_nearest(SLICE("rejcet"), words, 3), "reject");
	assert_null(words_nearest(SLICE("deliver"), words, 3));
	assert_null(words_nearest(SLICE("reject"), words, 3));
	assert_non_null(words_later_fact(SLICE("arc")));
	assert_null(words_later_fact(SLICE("virus")));
}

static void
test_spam(void **state)
{
	(void)state;
	struct conf *c = read_right(FRAME
		"filter spam {\nweight \"dmarc.fail\" -2.5 weight \"link.ip\" 10\n"
		"client list \"ZEN.example\" weight 3\nlink list \"dbl.example\" weight 0.5\n"
		"model for { \"example.com\", \"b\xc3\xbc"
		"cher.example\" }\n}\n"
		"domain \"b\xc3\xbc"
		"cher.example\" deliver to \"10.0.0.5\"\n"
		"inbound { accept }\n");
	const struct conf_filter *f = conf_filter_find(c, "spam");
	assert_int_equal(f->n_weights, 2);
	is(f->weights[0].name, "dmarc.fail");
	assert_true(f->weights[0].weight == -2.5 && f->weights[1].weight == 10);
	assert_int_equal(f->weights[1].at.line, 6);
	assert_int_equal(f->n_lists, 2);
	is(f->lists[0].zone, "zen.example");
	assert_true(!f->lists[0].link && f->lists[0].weight == 3);
	assert_true(f->lists[1].link && f->lists[1].weight == 0.5);
	assert_int_equal(f->n_models, 2);
	is(f->models[1].domain, "xn--bcher-kva.example");
	assert_null(f->made);
	conf_free(&c);
}

static void
test_servers(void **state)
{
	(void)state;
	struct conf *c = read_right(
		FRAME "filter rspamd { server \"127.0.0.1\" then \"[2001:db8::1]:99\" then "
		      "\"unix:/run/a.sock\" timeout 5s connections 3 }\n"
		      "filter spamassassin { server \"10.0.0.1\" }\n"
		      "inbound { accept }\n");
	const struct conf_filter *f = conf_filter_find(c, "rspamd");
	struct ip ip;
	assert_int_equal(f->n_servers, 3);
	assert_true(f->timeout_ms == 5000 && f->connections == 3);
	assert_true(ip_parse(SLICE("127.0.0.1"), &ip) && ip_eq(&f->servers[0].ip, &ip));
	assert_int_equal(f->servers[0].port, 11333);
	is(f->servers[0].text, "127.0.0.1");
	assert_true(ip_parse(SLICE("2001:db8::1"), &ip) && ip_eq(&f->servers[1].ip, &ip));
	assert_int_equal(f->servers[1].port, 99);
	assert_int_equal(f->servers[2].ip.family, 0);
	is(f->servers[2].path, "/run/a.sock");
	f = conf_filter_find(c, "spamassassin");
	assert_int_equal(f->n_servers, 1);
	assert_int_equal(f->servers[0].port, 783);
	assert_int_equal(f->timeout_ms, 0);
	assert_int_equal(conf_server_port(SLICE("spam")), 0);
	conf_free(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_conditions),
		cmocka_unit_test(test_actions),
		cmocka_unit_test(test_snapshot),
		cmocka_unit_test(test_spam),
		cmocka_unit_test(test_servers),
		cmocka_unit_test(test_tables),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_every_prefix),
		cmocka_unit_test(test_includes),
		cmocka_unit_test(test_many_problems),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_words),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
