/*
 * The SPF engine over stdin and stdout, for test_spf.py and spf_differential.py. A line is
 * fields between tabs, texts in hex; the DNS is a table:
 *
 *   Z                          forget the table
 *   R NAME TYPE VALUE PREF     a record: A AAAA MX PTR TXT CNAME; TIMEOUT: what stands above
 * answers C IP HELO SENDER HOST      check; prints RESULT MECHANISM EXPLANATION PROBLEM RUNS
 *   S IP HELO SENDER HOST      the same by libspf2, in the process that the gateway starts
 *
 * Answers go in the way the gateway gives them: all open questions, then the engine runs again.
 */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/must.h"
#include "filters/question.h"
#include "filters/spf.h"
#include "spf_second.h"

enum {
	LINE_MOST = 512 * 1024,
	ARENA_MOST = 64 * 1024 * 1024,
	RUNS_MOST = 1000,
	NOW = 1700000000
};

struct record {
	struct record *next;
	struct slice type, value;
	uint16_t preference;
};

struct name {
	struct record *first, *last;
};

struct table {
	struct arena *arena;
	struct map *names;
};

static void
table_clear(struct table *t)
{
	arena_free(&t->arena);
	t->arena = arena_new(ARENA_MOST);
	t->names = map_new(t->arena, true);
}

static struct slice
unhex(struct slice s, struct arena *a)
{
	char *to = arena_alloc(a, s.n / 2 + 1);
	for (size_t i = 0; i + 1 < s.n; i += 2) {
		must(ascii_hex(s.p[i]) >= 0 && ascii_hex(s.p[i + 1]) >= 0);
		to[i / 2] = (char)(ascii_hex(s.p[i]) << 4 | ascii_hex(s.p[i + 1]));
	}
	return (struct slice){to, s.n / 2};
}

static void
print_hex(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		printf("%02x", (unsigned char)s.p[i]);
	putchar('\t');
}

static void
table_add(struct table *t, struct slice name, struct slice type, struct slice value,
	struct slice preference)
{
	uint64_t number = 0;
	name = unhex(name, t->arena);
	struct name *n = map_get(t->names, name);
	if (n == NULL) {
		n = ARENA_NEW(t->arena, struct name);
		map_put(t->names, name, n);
	}
	struct record *r = ARENA_NEW(t->arena, struct record);
	must(slice_u64(preference, &number));
	r->type = arena_slice(t->arena, type);
	r->value = unhex(value, t->arena);
	r->preference = (uint16_t)number;
	if (n->first == NULL)
		n->first = r;
	else
		n->last->next = r;
	n->last = r;
}

/* "\DDD" back to the byte: the table has names as they are. */
static struct slice
unescape(struct slice name, struct arena *a)
{
	char *to = arena_alloc(a, name.n + 1);
	size_t n = 0;
	for (size_t i = 0; i < name.n; i++) {
		if (name.p[i] == '\\' && name.n - i > 3) {
			to[n++] = (char)((name.p[i + 1] - '0') * 100 +
					 (name.p[i + 2] - '0') * 10 + (name.p[i + 3] - '0'));
			i += 3;
		} else {
			to[n++] = name.p[i];
		}
	}
	return (struct slice){to, n};
}

static bool
rr_of(const struct record *r, enum dns_type type, struct dns_rr *rr)
{
	if (!slice_eq(r->type, slice_of(dns_type_text(type))))
		return false;
	*rr = (struct dns_rr){.text = r->value, .preference = r->preference};
	if (type == DNS_A || type == DNS_AAAA)
		must(ip_parse(r->value, &rr->ip));
	if (rr->text.n > 1 && rr->text.p[rr->text.n - 1] == '.' && type != DNS_TXT)
		rr->text.n--;
	return true;
}

static void
look_up(const struct table *t, struct slice name, enum dns_type type, int depth,
	struct arena *a, struct dns_answer *out)
{
	if (name.n > 1 && name.p[name.n - 1] == '.')
		name.n--;
	const struct name *n = map_get(t->names, name);
	*out = (struct dns_answer){.status = n != NULL ? DNS_NODATA : DNS_NXDOMAIN};
	if (n == NULL || depth > 16)
		return;
	out->rr = arena_array(a, DNS_RR_MOST, sizeof(*out->rr));
	struct slice cname = SLICE_NONE;
	for (const struct record *r = n->first; r != NULL && out->n < DNS_RR_MOST;
		r = r->next) {
		if (slice_eq(r->type, SLICE("TIMEOUT"))) {
			if (out->n == 0)
				out->status = DNS_FAIL;
			return;
		}
		if (slice_eq(r->type, SLICE("CNAME")))
			cname = r->value;
		if (rr_of(r, type, &out->rr[out->n])) {
			out->status = DNS_OK;
			out->n++;
		}
	}
	if (out->n == 0 && cname.n != 0)
		look_up(t, cname, type, depth + 1, a, out);
}

static const struct dns_answer *
ask(void *arg, struct slice name, enum dns_type type)
{
	if (!dns_name_ok(name))
		errx(1, "a name that cannot be asked: %.*s", SLICE_ARG(name));
	const struct question *one = questions_dns(arg, name, type);
	return one->state == QUESTION_ANSWERED ? one->dns : NULL;
}

static void
answer_all(const struct table *t, struct questions *q, struct arena *a)
{
	struct question *one;
	while ((one = questions_new(q)) != NULL) {
		struct dns_answer answer;
		look_up(t, unescape(one->name, a), one->type, 0, a, &answer);
		question_answer_dns(q, one, &answer);
	}
}

static void
check(const struct table *t, struct slice ip, struct slice helo, struct slice sender,
	struct slice host)
{
	struct arena *a = arena_new(ARENA_MOST), *scratch = arena_new(ARENA_MOST);
	struct questions q;
	questions_init(&q, a);
	struct spf_request r = {.helo = unhex(helo, a),
		.hostname = unhex(host, a),
		.now_s = NOW,
		.dns = ask,
		.arg = &q};
	must(ip_parse(ip, &r.client));
	sender = unhex(sender, a);
	size_t at = slice_find_last(sender, '@');
	r.sender_local = at < sender.n ? slice_first(sender, at) : SLICE_NONE;
	r.sender_domain = sender.n == 0   ? r.helo
			  : at < sender.n ? slice_from(sender, at + 1)
					  : sender;
	struct spf_verdict v;
	int runs = 1;
	while (!spf_check(&r, scratch, &v)) {
		must(runs++ < RUNS_MOST);
		must(questions_new(&q) != NULL);
		answer_all(t, &q, a);
		arena_reset(scratch);
	}
	printf("%s\t", spf_result_text(v.result));
	print_hex(v.mechanism);
	print_hex(v.explanation);
	print_hex(v.problem);
	printf("%d\n", runs);
	fflush(stdout);
	arena_free(&scratch);
	arena_free(&a);
}

static void
look_up_for_second(void *arg, struct slice name, enum dns_type type, struct arena *a,
	struct dns_answer *answer_out)
{
	look_up(arg, unescape(name, a), type, 0, a, answer_out);
}

static void
check_second(struct spf_second **second, struct table *t, const struct slice *f)
{
	struct arena *a = arena_new(ARENA_MOST);
	struct spf_second_dns dns = {look_up_for_second, t};
	struct engine_spf2_reply reply;
	struct engine_spf2_request r = {
		.helo = unhex(f[2], a), .sender = unhex(f[3], a), .hostname = unhex(f[4], a)};
	if (*second == NULL)
		*second = spf_second_new();
	must(ip_parse(f[1], &r.client));
	int runs = spf_second_check(*second, &dns, &r, a, &reply);
	printf("%s\t\t", runs > 0 ? spf_result_text(reply.result) : "failed");
	print_hex(runs > 0 ? reply.explanation : SLICE_NONE);
	printf("\t%d\n", runs);
	fflush(stdout);
	arena_free(&a);
}

int
main(void)
{
	static char line[LINE_MOST];
	struct table t = {0};
	struct spf_second *second = NULL;
	table_clear(&t);
	while (fgets(line, sizeof(line), stdin) != NULL) {
		struct slice rest = slice_of(line), f[5] = {0};
		must(rest.n > 0 && rest.p[rest.n - 1] == '\n');
		rest.n--;
		for (size_t i = 0; i < 5; i++)
			slice_cut(rest, '\t', &f[i], &rest);
		if (slice_eq(f[0], SLICE("Z")))
			table_clear(&t);
		else if (slice_eq(f[0], SLICE("R")))
			table_add(&t, f[1], f[2], f[3], f[4]);
		else if (slice_eq(f[0], SLICE("C")))
			check(&t, f[1], f[2], f[3], f[4]);
		else if (slice_eq(f[0], SLICE("S")))
			check_second(&second, &t, f);
		else
			errx(1, "not a command: %s", line);
	}
	spf_second_free(&second);
	arena_free(&t.arena);
	return 0;
}
