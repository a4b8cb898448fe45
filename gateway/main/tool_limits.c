/*
 * `postern limits`: what the limits and the greylist of the running gateway hold, and taking
 * one of them back. Asked of the keeper over its socket (queue/hand_limits.h), a page at a
 * time, so that a million keys hold up no mail. Keys hold what strangers have sent: no control
 * character of them reaches the terminal.
 */
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "conf/conf.h"
#include "main/hand_client.h"
#include "main/json.h"
#include "main/tool.h"
#include "queue/hand_limits.h"
#include "queue/hand_words.h"

enum { WORDS_ARENA = 1 << 20, KEY_COLUMN = 40 };

static const char usage[] =
	"limits [list] [rate | quota | greylist] [--user NAME | PREFIX] [--json]\n"
	"       postern limits reset KEY";

struct limits_tool {
	const struct tool *tool;
	struct arena *arena;
	struct hand_client *client;
	bool reset, json;
	bool spaces[STATE_SPACES];
	struct slice prefix; /* or the key to reset */
	uint64_t now_ms;
	struct json out;
};

/* ---- the command line ---- */

static bool
read_space(struct limits_tool *t, const char *word)
{
	for (int s = 0; s < STATE_MEMO; s++) {
		if (strcmp(word, state_space_text((enum state_space)s)) != 0)
			continue;
		t->spaces[s] = true;
		return true;
	}
	return false;
}

/* Keys have spaces; whether the shell kept them together does not matter. */
static void
add_word(struct limits_tool *t, const char *word)
{
	t->prefix = t->prefix.n == 0
			    ? slice_of(word)
			    : arena_printf(t->arena, "%.*s %s", SLICE_ARG(t->prefix), word);
}

/* NULL, or the word that cannot stand there. */
static const char *
read_words(struct limits_tool *t, int n, char *const words[])
{
	int i = 0;
	bool user = false;
	if (n > 0 && (strcmp(words[0], "list") == 0 || strcmp(words[0], "reset") == 0))
		t->reset = strcmp(words[i++], "reset") == 0;
	for (; i < n; i++) {
		bool first = t->prefix.n == 0 && !user;
		if (!t->reset && strcmp(words[i], "--json") == 0) {
			t->json = true;
		} else if (!t->reset && strcmp(words[i], "--user") == 0) {
			if (!first || i + 1 == n || words[i + 1][0] == '\0')
				return words[i];
			user = true;
			t->prefix = arena_printf(t->arena, "user %s ", words[++i]);
		} else if (t->reset || !first || !read_space(t, words[i])) {
			if (user || words[i][0] == '-' || words[i][0] == '\0')
				return words[i];
			add_word(t, words[i]);
		}
	}
	if (t->reset && (t->prefix.n == 0 || t->prefix.n > STATE_KEY_MOST))
		return "reset";
	return t->prefix.n <= HAND_KEY_MOST ? NULL : "PREFIX";
}

/* ---- what is printed ---- */

static struct slice
clean(struct slice key, struct arena *a)
{
	char *bytes = arena_text(a, key);
	for (size_t i = 0; i < key.n; i++)
		if ((unsigned char)bytes[i] < ' ' || bytes[i] == 0x7f)
			bytes[i] = '?';
	return (struct slice){bytes, key.n};
}

static void
print_item(struct limits_tool *t, enum state_space space, const struct state_item *item)
{
	FILE *f = t->tool->out;
	char span[HAND_SPAN_BYTES];
	struct slice key = clean(item->key, t->arena);
	fprintf(f, "%-8s  %-*.*s  ", state_space_text(space), KEY_COLUMN, SLICE_ARG(key));
	if (space != STATE_GREY)
		fprintf(f, "%" PRIu64 " of %" PRIu64 ", empty ", item->count, item->limit);
	else if (item->value.n != 0)
		fprintf(f, "%.*s, gone ", SLICE_ARG(clean(item->value, t->arena)));
	else
		fprintf(f, "%" PRIu64 " passed, gone ", item->count);
	fprintf(f, "%s\n", hand_until(item->until_ms, t->now_ms, span));
}

static void
json_item(struct limits_tool *t, enum state_space space, const struct state_item *item)
{
	struct json *j = &t->out;
	json_begin(j, NULL, '{');
	json_text(j, "kind", slice_of(state_space_text(space)));
	json_text(j, "key", item->key);
	if (space != STATE_GREY) {
		json_number(j, "used", item->count);
		json_number(j, "limit", item->limit);
	} else if (item->value.n != 0) {
		json_text(j, "state", item->value);
	} else {
		json_number(j, "passed", item->count);
	}
	json_time(j, space != STATE_GREY ? "empty" : "gone", item->until_ms);
	json_end(j, '}');
	json_line(j);
}

/* ---- asking ---- */

static int
wrong(struct err *err)
{
	return err_set(
		err, "the keeper's answer cannot be read: is posternd of another version?");
}

/* One page; from: where it begins, and where the next one does (empty: there is none). */
static int
list_page(struct limits_tool *t, enum state_space space, char from[HAND_KEY_MOST],
	size_t *from_n, size_t *shown, struct err *err)
{
	struct state_item items[HAND_LIMITS_MOST];
	struct hand_limits q = {space, t->prefix, {from, *from_n}};
	struct ipc_out out;
	struct slice payload, next;
	size_t n;
	ipc_out_init(&out);
	hand_limits_pack(&q, &out);
	int result = hand_client_ask(
		t->client, HAND_MSG_LIMITS, &out, HAND_MSG_LIMITS_PAGE, &payload, err);
	ipc_out_fini(&out);
	if (result < 0)
		return -1;
	if (!hand_limits_page_unpack(payload, items, &n, &next))
		return wrong(err);
	for (size_t i = 0; i < n; i++) {
		if (t->json)
			json_item(t, space, &items[i]);
		else
			print_item(t, space, &items[i]);
	}
	*shown += n;
	/* It goes on behind what was asked for, or it would never end. */
	if (next.n != 0 && slice_cmp(next, q.from) <= 0)
		return wrong(err);
	if (next.n != 0)
		memcpy(from, next.p, next.n);
	*from_n = next.n;
	return 0;
}

static int
list(struct limits_tool *t, struct err *err)
{
	size_t shown = 0;
	bool all = !t->spaces[STATE_RATE] && !t->spaces[STATE_QUOTA] && !t->spaces[STATE_GREY];
	for (int s = 0; s < STATE_MEMO; s++) {
		char from[HAND_KEY_MOST];
		size_t n = 0;
		if (!all && !t->spaces[s])
			continue;
		do {
			if (list_page(t, (enum state_space)s, from, &n, &shown, err) < 0)
				return -1;
			arena_reset(t->arena);
		} while (n != 0);
	}
	if (shown == 0 && !t->json)
		fputs("nothing is in use\n", t->tool->out);
	return 0;
}

/* The status: 1 where there is no such key. */
static int
reset(struct limits_tool *t, struct err *err)
{
	struct ipc_out out;
	struct slice payload;
	uint32_t done;
	ipc_out_init(&out);
	hand_limits_key_pack(t->prefix, &out);
	int result = hand_client_ask(
		t->client, HAND_MSG_LIMITS_RESET, &out, HAND_MSG_LIMITS_DONE, &payload, err);
	ipc_out_fini(&out);
	if (result < 0)
		return -1;
	if (!hand_limits_done_unpack(payload, &done))
		return wrong(err);
	if (done == 0)
		return err_set(err, "nothing is in use under that key (postern limits list)");
	fputs("reset\n", t->tool->out);
	return 0;
}

static int
run(struct limits_tool *t)
{
	struct conf_report report;
	struct err err;
	conf_report_init(&report);
	struct conf *c = conf_read(t->tool->config, &report);
	conf_report_fini(&report);
	if (c == NULL) {
		fprintf(t->tool->err, "postern: %s is not right (postern check)\n",
			t->tool->config);
		return 1;
	}
	t->client = hand_client_open(c->spool, &err);
	conf_free(&c);
	int result = t->client == NULL ? -1 : t->reset ? reset(t, &err) : list(t, &err);
	if (result < 0)
		fprintf(t->tool->err, "postern: %s\n", err.text);
	hand_client_close(&t->client);
	return result < 0 ? 1 : 0;
}

int
tool_limits(const struct tool *tool, int n, char *const words[])
{
	struct limits_tool t = {.tool = tool, .now_ms = (uint64_t)clock_wall_ms()};
	int status;
	struct arena *of_words = arena_new(WORDS_ARENA);
	t.arena = of_words;
	const char *bad = read_words(&t, n, words);
	t.arena = arena_new(WORDS_ARENA); /* of a page */
	json_init(&t.out, tool->out);
	if (bad != NULL) {
		fprintf(tool->err, "postern: \"%s\" cannot stand there\n", bad);
		status = tool_usage(tool, usage);
	} else {
		status = run(&t);
	}
	arena_free(&t.arena);
	arena_free(&of_words);
	return status;
}
