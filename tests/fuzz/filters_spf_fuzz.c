/*
 * SPF records from a hostile DNS: the input is texts between newlines; the answers to look-ups
 * are taken from it in turn, whatever is asked.
 */
#include <stdint.h>

#include "base/must.h"
#include "filters/spf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct feed {
	struct slice rest;
	struct arena *arena;
	unsigned asked;
};

static const struct dns_answer *
ask(void *arg, struct slice name, enum dns_type type)
{
	struct feed *f = arg;
	must(dns_name_ok(name));
	must(++f->asked < 400);
	struct dns_answer *answer = ARENA_NEW(f->arena, struct dns_answer);
	struct slice text;
	slice_cut(f->rest, '\n', &text, &f->rest);
	if (text.n == 0) {
		answer->status = f->rest.n % 2 != 0 ? DNS_FAIL : DNS_NXDOMAIN;
		return answer;
	}
	answer->n = type == DNS_TXT ? 1 : 1 + text.n % 12;
	answer->rr = arena_array(f->arena, answer->n, sizeof(*answer->rr));
	for (size_t i = 0; i < answer->n; i++) {
		answer->rr[i].text = text;
		answer->rr[i].ip = (struct ip){
			.family = type == DNS_AAAA ? 6 : 4, .bytes = {192, 0, 2, 1}};
	}
	return answer;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > 64 * 1024)
		return 0;
	struct feed f = {{(const char *)data, size}, arena_new(64 * 1024 * 1024), 0};
	struct spf_request r = {
		.client = {.family = size % 2 != 0 ? 6 : 4, .bytes = {192, 0, 2, 1}},
		.helo = SLICE("helo.example"),
		.sender_local = SLICE("a.\"b\\ c"),
		.sender_domain = SLICE("sender.example"),
		.hostname = SLICE("mx.example"),
		.dns = ask,
		.arg = &f};
	struct spf_verdict v;
	must(spf_check(&r, f.arena, &v));
	must(spf_result_text(v.result) != NULL);
	must(v.explanation.n == 0 || v.result == SPFR_FAIL);
	arena_free(&f.arena);
	return 0;
}
