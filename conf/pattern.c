/*
 * PCRE2 behind pattern.h. Its memory comes from arenas, so that a compiled policy is one piece
 * and a match leaves nothing behind; machine code has pages of its own, given back with the
 * arena.
 */
#include "conf/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <stdint.h>
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

static void
give_code(void *code)
{
	pcre2_code_free(code);
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
	if (p->code != NULL) {
		if (pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE) == 0)
			arena_defer(a, give_code, p->code);
		return p;
	}
	PCRE2_UCHAR words[120];
	pcre2_get_error_message(code, words, sizeof(words));
	snprintf(why, why_bytes, "%s, at byte %zu", (const char *)words, (size_t)at + 1);
	return NULL;
}

/* Machine code runs on a small stack of its own: what needs more is interpreted. */
static enum pattern_result
match_one(const struct pattern *p, struct slice text, pcre2_match_data *data,
	pcre2_match_context *ctx)
{
	PCRE2_SPTR bytes = (PCRE2_SPTR)(text.n != 0 ? text.p : "");
	int n = pcre2_match(p->code, bytes, text.n, 0, 0, data, ctx);
	if (n == PCRE2_ERROR_JIT_STACKLIMIT)
		n = pcre2_match(p->code, bytes, text.n, 0, PCRE2_NO_JIT, data, ctx);
	if (n >= 0)
		return PATTERN_YES;
	return n == PCRE2_ERROR_NOMATCH ? PATTERN_NO : PATTERN_GAVE_UP;
}

enum pattern_result
pattern_match_any(
	struct pattern *const *patterns, size_t n, struct slice text, struct arena *scratch)
{
	enum pattern_result result = PATTERN_NO;
	if (n == 0)
		return PATTERN_NO;
	if (arena_room(scratch) < SCRATCH_LEAST)
		return PATTERN_GAVE_UP;
	pcre2_general_context *memory = pcre2_general_context_create(take, give, scratch);
	pcre2_match_context *ctx = pcre2_match_context_create(memory);
	pcre2_match_data *data = pcre2_match_data_create(1, memory);
	pcre2_set_match_limit(ctx, STEPS_MOST);
	pcre2_set_depth_limit(ctx, DEPTH_MOST);
	pcre2_set_heap_limit(ctx, HEAP_KIB_MOST);
	for (size_t i = 0; i < n && result != PATTERN_YES; i++) {
		enum pattern_result one = match_one(patterns[i], text, data, ctx);
		if (one != PATTERN_NO)
			result = one;
	}
	return result;
}

enum pattern_result
pattern_match(const struct pattern *p, struct slice text, struct arena *scratch)
{
	struct pattern *one = (struct pattern *)(uintptr_t)p;
	return pattern_match_any(&one, 1, text, scratch);
}
