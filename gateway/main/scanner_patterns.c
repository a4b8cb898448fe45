/*
 * The patterns that a generation's rules look for in texts, put into the file that its scanner
 * reads: in the order of each block, by which a report counts its matches.
 */
#include "main/scanner_patterns.h"

#include "base/buf.h"
#include "base/scan_report.h"
#include "scan/pattern_list.h"

static struct slice
joined(const struct conf_pattern *p, struct arena *a)
{
	struct buf b;
	buf_init(&b, SCAN_PATTERN_LIST_MOST);
	for (size_t i = 0; i < p->n_words; i++) {
		(void)buf_add(&b, p->words[i]);
		(void)buf_add_byte(&b, '\n');
	}
	struct slice all = arena_slice(a, buf_slice(&b));
	buf_fini(&b);
	return all;
}

int
scanner_patterns(const struct generation *g, struct err *err)
{
	static const enum scan_pattern_kind kinds[] = {[PATTERN_PLAIN] = SCAN_PATTERN_PLAIN,
		[PATTERN_LUHN] = SCAN_PATTERN_LUHN,
		[PATTERN_IBAN] = SCAN_PATTERN_IBAN,
		[PATTERN_WORDS] = SCAN_PATTERN_WORDS};
	struct scan_pattern all[2 * SCAN_PATTERNS_MOST];
	struct arena *a = arena_new(2 * (size_t)SCAN_PATTERN_LIST_MOST);
	size_t n = 0;
	for (unsigned d = INBOUND; d <= OUTBOUND; d++) {
		size_t of_block = g->policy[d] != NULL ? policy_patterns(g->policy[d]) : 0;
		for (size_t i = 0; i < of_block && i < SCAN_PATTERNS_MOST; i++) {
			const struct conf_pattern *p = policy_pattern(g->policy[d], i);
			all[n++] = (struct scan_pattern){.set = d,
				.kind = kinds[p->check],
				.nocase = p->nocase,
				.text = p->check == PATTERN_WORDS ? joined(p, a) : p->regex};
		}
	}
	int fd = scan_pattern_list_send(all, n, err);
	arena_free(&a);
	return fd;
}
