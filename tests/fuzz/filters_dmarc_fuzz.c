/*
 * DMARC from strangers: "From domain NUL d= NUL record NUL record ...". The records answer one
 * name after the other; the walk stays within its bound and says the same when it is run again.
 */
#include <stddef.h>
#include <stdint.h>

#include "base/must.h"
#include "filters/dmarc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct answers {
	struct slice rest;
	struct dns_rr rr[40];
	struct dns_answer answer[40];
	unsigned asked;
};

static const struct dns_answer *
lookup(void *arg, struct slice name, enum dns_type type)
{
	struct answers *s = arg;
	must(s->asked < 17 && name.n > 0 && (type == DNS_TXT || type == DNS_A));
	struct dns_rr *rr = &s->rr[s->asked];
	struct dns_answer *a = &s->answer[s->asked++];
	slice_cut(s->rest, '\0', &rr->text, &s->rest);
	*a = (struct dns_answer){
		.status = rr->text.n > 0 ? DNS_OK : DNS_NXDOMAIN, .n = 1, .rr = rr};
	return a;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice from, dkim, rest = {(const char *)data, size};
	slice_cut(rest, '\0', &from, &rest);
	slice_cut(rest, '\0', &dkim, &rest);
	struct arena *a = arena_new(4 << 20);
	struct dmarc_mail mail = {.from = from, .dkim = &dkim, .n_dkim = 1};
	struct dmarc_verdict first, again;
	for (int i = 0; i < 2; i++) {
		struct answers s = {.rest = rest};
		struct dmarc_dns dns = {lookup, &s};
		must(dmarc_evaluate(&mail, &dns, a, i == 0 ? &first : &again));
	}
	must(first.result == again.result && first.policy == again.policy);
	must(first.result != DMARC_PASS || first.aligned.n > 0);
	arena_free(&a);
	return 0;
}
