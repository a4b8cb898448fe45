/*
 * PCRE2 behind pattern.h; no other file of the folder includes it. Its memory comes from
 * arenas, so that a compiled policy is one piece and a match leaves nothing behind.
 */
#include "conf/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <stdio.h>

enum {
	STEPS_MOST = 200000,
	DEPTH_MOST = 10000,
	HEAP_KIB_MOST = 256,
	SCRATCH_LEAST = 1024 * 1024, /* a full arena is a match given up, not a crash */
};

struct pattern {
	pcre2_code *code;
};

static void *
take(size_t bytes, void *arena)
{
	return arena_try(arena, bytes);
}

static void
give(void *p, void *arena)
{
	(void)p;
	(void)arena;
}

struct pattern *
pattern_compile(struct slice regex, bool nocase, struct arena *a, char *why, size_t why_bytes)
{
	int code;
	PCRE2_SIZE at;
	uint32_t options = PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C;
	pcre2_general_context *memory = pcre2_general_context_create(take, give, a);
	pcre2_compile_context *ctx =
		memory != NULL ? pcre2_compile_context_create(memory) : NULL;
	if (ctx == NULL) {
		snprintf(why, why_bytes, "the configuration is too large");
		return NULL;
	}
	struct pattern *p = ARENA_NEW(a, struct pattern);
	p->code = pcre2_compile((PCRE2_SPTR)(regex.n != 0 ? regex.p : ""), regex.n,
		options | (nocase ? PCRE2_CASELESS : 0), &code, &at, ctx);
	if (p->code != NULL)
		return p;
	PCRE2_UCHAR words[120];
	pcre2_get_error_message(code, words, sizeof(words));
	snprintf(why, why_bytes, "%s, at byte %zu", (const char *)words, (size_t)at + 1);
	return NULL;
}

enum pattern_result
pattern_match(const struct pattern *p, struct slice text, struct arena *scratch)
{
	if (arena_room(scratch) < SCRATCH_LEAST)
		return PATTERN_GAVE_UP;
	pcre2_general_context *memory = pcre2_general_context_create(take, give, scratch);
	pcre2_match_context *ctx = pcre2_match_context_create(memory);
	pcre2_match_data *data = pcre2_match_data_create(1, memory);
	pcre2_set_match_limit(ctx, STEPS_MOST);
	pcre2_set_depth_limit(ctx, DEPTH_MOST);
	pcre2_set_heap_limit(ctx, HEAP_KIB_MOST);
	int n = pcre2_match(
		p->code, (PCRE2_SPTR)(text.n != 0 ? text.p : ""), text.n, 0, 0, data, ctx);
	if (n >= 0)
		return PATTERN_YES;
	return n == PCRE2_ERROR_NOMATCH ? PATTERN_NO : PATTERN_GAVE_UP;
}
