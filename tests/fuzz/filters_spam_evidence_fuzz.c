/*
 * Evidence out of any bytes as a mail, with a world that asks for all of it: what is found is
 * of the table, once each, printable, within its weight; twice, the same is found.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/must.h"
#include "filters/spam_evidence.h"

enum { ARENA_MOST = 16 << 20, MAIL_MOST = 64 * 1024 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
gather(struct slice mail, struct arena *a, struct spam_found *out)
{
	static const struct slice own[] = {SLICE("example.org"), SLICE("northwind.test")};
	struct address sender = {.domain = SLICE("northwlnd.test"), .local = SLICE("a")};
	struct spam_world w = {.spf = SLICE("softfail"),
		.dkim = SLICE("fail"),
		.dmarc = SLICE("fail"),
		.dmarc_policy = SLICE("quarantine"),
		.aligned_known = true,
		.client_name_known = true,
		.client_name = SLICE("192-0-2-9.pool.test"),
		.helo = SLICE("a"),
		.sender = &sender,
		.own_domains = own,
		.n_own_domains = 2,
		.wall_ms = 1793613600000};
	must(ip_parse(SLICE("192.0.2.9"), &w.client));
	struct spam_view v;
	spam_view_of_mail(mail, SLICE("mx.example.org"), a, &v);
	spam_evidence_gather(&v, &w, a, out);
	bool seen[SPAM_EVIDENCES] = {false};
	for (size_t i = 0; i < out->n; i++) {
		const struct spam_found_one *f = &out->items[i];
		must(f->id >= 0 && f->id < SPAM_EVIDENCES && !seen[f->id]);
		seen[f->id] = true;
		must(f->times > 0 && f->times <= 1);
		for (size_t k = 0; k < f->detail.n; k++)
			must(f->detail.p[k] >= ' ' && f->detail.p[k] <= '~');
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct spam_found once, again;
	if (size > MAIL_MOST)
		return 0;
	struct arena *a = arena_new(ARENA_MOST);
	gather((struct slice){(const char *)data, size}, a, &once);
	gather((struct slice){(const char *)data, size}, a, &again);
	must(once.n == again.n);
	for (size_t i = 0; i < once.n; i++)
		must(once.items[i].id == again.items[i].id &&
			slice_eq(once.items[i].detail, again.items[i].detail));
	arena_free(&a);
	return 0;
}
