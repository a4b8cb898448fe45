/*
 * Every filter with each answer late, failed and in random order (issue 2). Over filter_table,
 * so that a new filter is tried without a word here: whatever the order in which answers come,
 * and however late in the mail's way, each fact ends as it does when they come at once; and
 * whatever fails, each fact ends.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/must.h"
#include "conf_text.h"
#include "filters/facts.h"

enum { ROUNDS = 150, USES_MOST = 200, TEXT_MOST = 2000, STEPS_MOST = 2000 };

static const char configuration[] =
	"hostname \"mx.example.com\"\n"
	"spool \"/var/spool/postern\"\n"
	"filter spam { client list \"zen.example\" weight 3 link list \"dbl.example\" weight "
	"2\n"
	" model for { \"verify.example\" } }\n"
	"listen inbound on \"127.0.0.1:2525\"\n"
	"domain \"verify.example\" deliver to \"127.0.0.1:26\" recipients verify\n"
	"pattern secret /secret/\n"
	"table dir ldap \"ldap://192.0.2.9/dc=x\" filter \"(a=%s)\"\n"
	"table base sql \"postgresql://a@192.0.2.9/x\" query \"SELECT 1 WHERE 'x' = $1\"\n"
	"inbound { reject if body contains secret\n"
	" log \"a\" if sender in dir or helo in dir or client in base or client.name in dir\n"
	" log \"b\" if recipient in dir or recipient in base or every recipients in dir\n"
	" log \"c\" if from.domain in dir or subject in base or header \"Subject\" in dir\n"
	" log \"d\" if dkim.domains in dir or every dkim.domains in dir\n"
	" log \"e\" if attachment.name in base or every attachment.name in base\n"
	" accept }\n";
enum { LOOKUPS = 14 };

static const char mail_header[] =
	"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=sender.example; s=one;\r\n"
	" h=from:subject; bh=frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY=; b=QUJD\r\n"
	"DKIM-Signature: v=1; a=ed25519-sha256; c=simple/simple; d=other.example; s=two;\r\n"
	" h=from; bh=frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY=; b=QUJD\r\n"
	"From: A <a@news.sender.example>\r\n"
	"Subject: =?utf-8?q?J=C3=B6rg?=\r\n"
	"\r\n";

/* A random number that is the seed's alone. */
static uint64_t
next(uint64_t *seed)
{
	*seed += UINT64_C(0x9e3779b97f4a7c15);
	uint64_t z = *seed;
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

/* What the world says to a question: the same for the same world, whenever it is asked. */
struct world {
	uint64_t seed;
	unsigned failing; /* of 100 questions, so many fail */
};

static uint64_t
draw(const struct world *w, const struct question *one)
{
	uint64_t seed = w->seed ^ (uint64_t)one->kind << 32 ^ (uint64_t)one->type;
	for (size_t i = 0; i < one->name.n; i++)
		seed = seed * 31 + (unsigned char)one->name.p[i];
	for (size_t i = 0; one->kind == QUESTION_LOOKUP && i < one->input.n; i++)
		seed = seed * 31 + (unsigned char)one->input.p[i];
	next(&seed);
	return next(&seed);
}

static struct slice
pick(uint64_t n, const char *const *texts)
{
	size_t count = 0;
	while (texts[count] != NULL)
		count++;
	return slice_of(texts[n % count]);
}

static struct slice
text_for(const struct question *one, uint64_t n)
{
	static const char *const txt[] = {
		"v=spf1 a mx include:in.example exists:%{p}.x.example -all",
		"v=spf1 ptr redirect=re.example", "v=spf1 ip4:192.0.2.0/24 ?all",
		"v=spf1 a//33", "v=spf1 -all exp=why.example", "v=DMARC1; p=reject; sp=none",
		"v=DMARC1; p=none; psd=y", "v=DKIM1; k=rsa; p=", "v=DKIM1; k=rsa; p=AAAA",
		"nonsense", NULL};
	static const char *const dmarc[] = {"v=DMARC1; p=reject",
		"v=DMARC1; p=quarantine; psd=n", "v=DMARC1; p=none; aspf=s", NULL};
	static const char *const addresses[] = {
		"192.0.2.1", "127.0.0.2", "198.51.100.7", "127.255.255.254", NULL};
	static const char *const names[] = {
		"host.sender.example", "sender.example", "mail.other.example", NULL};
	switch ((int)one->type) {
	case DNS_A: return pick(n, addresses);
	case DNS_PTR:
	case DNS_MX: return pick(n, names);
	case DNS_TXT: return pick(n, slice_starts(one->name, SLICE("_dmarc")) ? dmarc : txt);
	default: return SLICE("2001:db8::1");
	}
}

static void
answer_dns(const struct world *w, struct questions *q, struct question *one)
{
	uint64_t n = draw(w, one);
	struct dns_rr rr[3] = {0};
	struct dns_answer a = {.status = DNS_OK, .n = 1 + n % 3, .rr = rr};
	if (n / 7 % 100 < w->failing)
		a = (struct dns_answer){.status = n % 2 != 0 ? DNS_FAIL : DNS_BOGUS};
	else if (n / 3 % 4 == 0)
		a = (struct dns_answer){.status = n % 2 != 0 ? DNS_NXDOMAIN : DNS_NODATA};
	for (size_t i = 0; i < a.n; i++) {
		rr[i].text = text_for(one, n / 11 + i);
		if (one->type == DNS_A || one->type == DNS_AAAA)
			must(ip_parse(rr[i].text, &rr[i].ip));
	}
	question_answer_dns(q, one, &a);
}

static void
answer_scan(const struct world *w, struct questions *q, struct question *one)
{
	uint64_t n = draw(w, one);
	struct scan_attachment at = {.name = SLICE("a.zip"), .type = SLICE("application/zip")};
	struct scan_report r = {.status = (enum scan_status)(n % 2),
		.virus = SLICE("V"),
		.attachments = &at,
		.n_attachments = n % 2};
	if (n / 7 % 100 < w->failing)
		r = (struct scan_report){.status = n % 2 != 0 ? SCAN_FAILED : SCAN_UNSCANNABLE,
			.why = SLICE("why")};
	question_answer_scan(q, one, &r);
}

static void
answer(const struct world *w, struct questions *q, struct question *one)
{
	bool fails = draw(w, one) / 7 % 100 < w->failing;
	switch (one->kind) {
	case QUESTION_DNS: answer_dns(w, q, one); break;
	case QUESTION_SCAN: answer_scan(w, q, one); break;
	case QUESTION_KNOWN:
		question_answer_known(
			q, one, fails ? KNOWN_FAILED : draw(w, one) % 2, SLICE("250 ok"));
		break;
	case QUESTION_APPEND:
		question_answer_append(q, one, &(struct append_plan){.status = APPEND_FAILED});
		break;
	case QUESTION_ENGINE: question_answer_engine(q, one, SLICE_NONE); break;
	case QUESTION_STATE:
		question_answer_state(q, one,
			&(struct state_answer){.status = fails ? STATE_FAILED : STATE_OK,
				.yes = draw(w, one) % 2});
		break;
	case QUESTION_LOOKUP:
		question_answer_lookup(
			q, one, fails ? LOOKUP_FAILED : draw(w, one) % 2, SLICE("why"));
		break;
	case QUESTION_NEIGHBOUR:
		question_answer_neighbour(q, one,
			&(struct neighbour_verdict){.failed = fails,
				.why = SLICE("why"),
				.score = (double)(draw(w, one) % 20),
				.action = SLICE("reject")});
		break;
	}
}

struct asked {
	struct questions *scope;
	struct question *one;
};

/* One mail on its way, with the questions that wait for their answers. */
struct way {
	struct conf *conf;
	struct policy *policy;
	struct arena *arena;
	struct flt_session session;
	struct flt_mail mail;
	struct flt_recipient recipient;
	struct message message;
	struct facts *facts;
	struct asked waiting[STEPS_MOST];
	size_t n_waiting, n_answered;
	char texts[USES_MOST][TEXT_MOST]; /* how each fact ended */
};

/* An argument that the fact can take. */
static struct slice
argument(const struct fact_decl *d)
{
	if (d->arg == FACT_ARG_NONE)
		return SLICE_NONE;
	if (strcmp(d->name, "body") == 0)
		return SLICE("secret");
	if (d->arg == FACT_ARG_LIMIT)
		return d->name[0] == 'q' ? SLICE("client > 5/day") : SLICE("client > 5/hour");
	if (d->arg == FACT_ARG_WORD && d->words != NULL)
		return slice_of(d->words[0]);
	return strcmp(d->name, "header") == 0 ? SLICE("Subject") : SLICE("zen.example");
}

static void
print_value(char text[TEXT_MOST], enum fact_state state, const struct value *v)
{
	int n = snprintf(text, TEXT_MOST, "%d %d %g \"%.*s\"", (int)state, v->flag, v->number,
		SLICE_ARG(v->text));
	for (size_t i = 0; i < v->n_items; i++)
		n += snprintf(text + n, (size_t)(TEXT_MOST - n), " \"%.*s\" %g",
			SLICE_ARG(v->items[i].text), v->items[i].number);
	assert_true(n < TEXT_MOST);
}

/* All facts of all filters, and behind them those that the policy looks up. False: no more. */
static bool
use_at(const struct way *w, size_t at, struct fact_ref *use_out)
{
	const struct fact_decl *const *all = facts_all();
	size_t n = 0;
	for (; all[n] != NULL; n++) {
		if (n != at)
			continue;
		*use_out = (struct fact_ref){.decl = all[n], .arg = argument(all[n])};
		return true;
	}
	for (size_t i = 0; i < policy_facts(w->policy); i++) {
		*use_out = *policy_fact(w->policy, i);
		if (use_out->decl->lookup != NULL && n++ == at)
			return true;
	}
	return false;
}

/* Reads all facts; how many are open. */
static size_t
read_all(struct way *w)
{
	struct fact_ref use;
	size_t open = 0;
	for (size_t i = 0; use_at(w, i, &use); i++) {
		struct value v;
		assert_true(i < USES_MOST);
		enum fact_state s = facts_read_use(w->facts, &use, 0, COST_DEAR, &v);
		assert_int_not_equal(s, FACT_UNASKED); /* all questions may be asked here */
		open += s == FACT_OPEN;
		print_value(w->texts[i], s, &v);
	}
	struct asked a;
	while ((a.one = facts_question(w->facts, &a.scope)) != NULL) {
		a.one->state = QUESTION_ASKED;
		assert_true(w->n_waiting < STEPS_MOST);
		w->waiting[w->n_waiting++] = a;
	}
	return open;
}

static void
answer_one(struct way *w, const struct world *world, size_t which)
{
	struct asked a = w->waiting[which];
	w->waiting[which] = w->waiting[--w->n_waiting];
	answer(world, a.scope, a.one);
	w->n_answered++;
}

/* order 0: all at once, as they come; else as many as that random order says, in its order. */
static void
answer_some(struct way *w, const struct world *world, uint64_t *order)
{
	if (*order == 0) {
		while (read_all(w), w->n_waiting > 0)
			while (w->n_waiting > 0)
				answer_one(w, world, 0);
		return;
	}
	for (uint64_t n = next(order) % 4; n > 0; n--) {
		read_all(w);
		if (w->n_waiting > 0)
			answer_one(w, world, next(order) % w->n_waiting);
	}
}

static void
way_open(struct way *w)
{
	struct conf_report report;
	w->n_answered = 0;
	w->conf = conf_text(configuration);
	w->arena = arena_new(8 << 20);
	conf_report_init(&report);
	filters_check(w->conf, &report);
	w->policy = policy_compile(w->conf, INBOUND, facts_all(), w->arena, &report);
	if (w->policy == NULL)
		fail_msg("%s", report.problems[0].text);
	conf_report_fini(&report);
	size_t lookups = 0;
	for (size_t i = 0; i < policy_facts(w->policy); i++)
		lookups += policy_fact(w->policy, i)->decl->lookup != NULL;
	assert_int_equal(lookups, LOOKUPS);
	assert_true(ip_parse(SLICE("192.0.2.1"), &w->session.client));
	w->session.helo = SLICE("host.sender.example");
	struct address *sender = &w->mail.sender, *rcpt = &w->recipient.address;
	assert_int_equal(
		address_parse(SLICE("a@sender.example"), false, w->arena, sender), ADDRESS_OK);
	assert_int_equal(
		address_parse(SLICE("b@verify.example"), false, w->arena, rcpt), ADDRESS_OK);
	w->recipient.domain = conf_domain_find(w->conf, rcpt->domain);
	w->mail.recipients = &w->recipient;
	message_parse(slice_of(mail_header), SLICE("mx"), false, w->arena, &w->message);
	assert_int_equal(w->message.faults, MESSAGE_DATE_MISSING);
}

static void
way_close(struct way *w)
{
	arena_free(&w->arena);
	conf_free(&w->conf);
}

/* The whole way of a mail; what waits at its end is answered then. */
static void
go(struct way *w, const struct world *world, uint64_t order)
{
	w->mail.n_recipients = 0;
	w->mail.message = NULL;
	w->mail.bytes = 0;
	w->n_waiting = 0;
	w->facts = facts_new(w->conf, w->policy, &w->session);
	facts_helo(w->facts);
	answer_some(w, world, &order);
	facts_mail(w->facts, &w->mail);
	answer_some(w, world, &order);
	facts_rcpt(w->facts, &w->recipient);
	w->mail.n_recipients = 1;
	answer_some(w, world, &order);
	facts_data(w->facts);
	w->mail.message = &w->message;
	for (size_t i = 0; filter_table[i] != NULL; i++)
		facts_want(w->facts, filter_table[i]->name);
	facts_header(w->facts);
	answer_some(w, world, &order);
	facts_body(w->facts, SLICE("Hello "));
	answer_some(w, world, &order);
	facts_body(w->facts, SLICE("secret http://a.example/ http://b.c.example\r\n"));
	w->mail.bytes = w->message.header_bytes + 51;
	facts_body_end(w->facts);
	for (int steps = 0; read_all(w) > 0; steps++) {
		assert_true(steps < STEPS_MOST);
		assert_true(w->n_waiting > 0); /* open means that something is asked */
		answer_one(w, world, order != 0 ? next(&order) % w->n_waiting : 0);
	}
	facts_free(&w->facts);
}

static void
compare(const struct way *a, const struct way *b, uint64_t seed)
{
	struct fact_ref use;
	for (size_t i = 0; use_at(a, i, &use); i++)
		if (strcmp(a->texts[i], b->texts[i]) != 0)
			fail_msg("world %llu, %s: at once %s, in random order %s",
				(unsigned long long)seed, use.decl->name, a->texts[i],
				b->texts[i]);
}

static struct way at_once, at_random;

static void
run(unsigned failing)
{
	way_open(&at_once);
	way_open(&at_random);
	for (uint64_t seed = 1; seed <= ROUNDS; seed++) {
		struct world world = {seed * 1000003, failing};
		go(&at_once, &world, 0);
		go(&at_random, &world, seed);
		compare(&at_once, &at_random, seed);
	}
	assert_true(at_once.n_answered > ROUNDS * 8 && at_random.n_answered > ROUNDS * 8);
	way_close(&at_once);
	way_close(&at_random);
}

static void
late_and_in_random_order(void **state)
{
	(void)state;
	run(0);
}

static void
some_fail(void **state)
{
	(void)state;
	run(30);
}

static void
all_fail(void **state)
{
	(void)state;
	run(100);
	/* every fact has ended: known, or failed with a reason */
	for (size_t i = 0; at_once.texts[i][0] != '\0'; i++)
		assert_true(at_once.texts[i][0] == '0' + FACT_KNOWN ||
			    at_once.texts[i][0] == '0' + FACT_FAILED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(late_and_in_random_order),
		cmocka_unit_test(some_fail),
		cmocka_unit_test(all_fail),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
