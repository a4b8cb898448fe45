/*
 * The built-in rules of failures over stdin and stdout, for test_bounces.py: a line is "code
 * TAB enhanced code or - TAB phase TAB host TAB words in hex"; the answer is "class TAB
 * permanent or temporary TAB rule or -".
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>

#include "base/must.h"
#include "delivery/failure.h"

enum { ARENA_MOST = 1024 * 1024 };

static enum failure_phase
phase_of(struct slice word)
{
	unsigned p = 0;
	while (p < FAILURE_PHASES &&
		!slice_eq(word, slice_of(failure_phase_text((enum failure_phase)p))))
		p++;
	must(p < FAILURE_PHASES);
	return (enum failure_phase)p;
}

static void
read_enhanced(struct slice word, struct smtp_reply *r)
{
	r->has_enhanced = !slice_eq(word, SLICE("-"));
	for (int i = 0; i < 3 && r->has_enhanced; i++) {
		struct slice part;
		uint64_t value;
		slice_cut(word, '.', &part, &word);
		must(slice_u64(part, &value) && value < 1000);
		r->enhanced[i] = (uint16_t)value;
	}
}

static struct slice
from_hex(struct slice hex, struct arena *a)
{
	char *bytes = arena_alloc(a, hex.n / 2 + 1);
	for (size_t i = 0; i + 1 < hex.n; i += 2) {
		must(ascii_hex(hex.p[i]) >= 0 && ascii_hex(hex.p[i + 1]) >= 0);
		bytes[i / 2] = (char)(ascii_hex(hex.p[i]) << 4 | ascii_hex(hex.p[i + 1]));
	}
	return (struct slice){bytes, hex.n / 2};
}

static void
answer(const struct failure_rules *rules, struct slice line)
{
	struct arena *a = arena_new(ARENA_MOST);
	struct slice word[5];
	uint64_t code;
	for (size_t i = 0; i < 5; i++)
		must(slice_cut(line, '\t', &word[i], &line) == (i < 4));
	must(slice_u64(word[0], &code) && code < 1000);
	struct smtp_reply r = {.code = (int)code, .text = from_hex(word[4], a)};
	read_enhanced(word[1], &r);
	struct failure_input in = {
		.reply = &r, .from_hop = true, .phase = phase_of(word[2]), .host = word[3]};
	struct failure f;
	failure_judge(rules, &in, &f);
	printf("%s\t%s\t%s\n", failure_class_text(f.class),
		f.permanent ? "permanent" : "temporary", f.rule != NULL ? f.rule : "-");
	arena_free(&a);
}

int
main(void)
{
	struct err err;
	struct failure_rules *rules = failure_rules_new(&err);
	if (rules == NULL) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	char *line = NULL;
	size_t room = 0;
	for (ssize_t n; (n = getline(&line, &room, stdin)) > 0;)
		answer(rules, (struct slice){line, (size_t)n - (line[n - 1] == '\n')});
	free(line);
	failure_rules_free(&rules);
	return 0;
}
