/*
 * Failures: what a remote may say, judged by the built-in rules (a class always, never aimed at
 * us and told as something of the recipient's). The input is "code SP phase LF words".
 */
#include "base/must.h"
#include "delivery/failure.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(const struct failure *f, const struct failure_input *in)
{
	must((unsigned)f->class < FAILURE_CLASSES);
	must((f->class == FAILURE_LISTED) == (f->about == ABOUT_US));
	must(!f->permanent || in->reply->code >= 500);
	must(f->class != FAILURE_LISTED || !f->permanent);
	must(in->from_hop || f->rule == NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct failure_rules *rules;
	struct err err;
	if (rules == NULL)
		rules = failure_rules_new(&err);
	must(rules != NULL);
	struct slice in = {(const char *)data, size}, first, text, word;
	uint64_t code = 550, phase = FAILURE_AT_RCPT;
	slice_cut(in, '\n', &first, &text);
	slice_cut(first, ' ', &word, &first);
	if (!slice_u64(word, &code) || code > 599)
		code = 550;
	if (!slice_u64(first, &phase) || phase >= FAILURE_PHASES)
		phase = FAILURE_AT_RCPT;
	struct smtp_reply r = {.code = (int)code, .text = text};
	struct failure f, again;
	struct failure_input input = {&r, true, (enum failure_phase)phase, text};
	failure_judge(rules, &input, &f);
	check(&f, &input);
	failure_judge(rules, &input, &again);
	must(f.class == again.class && f.permanent == again.permanent && f.rule == again.rule);
	input.from_hop = false;
	failure_judge(rules, &input, &f);
	check(&f, &input);
	return 0;
}
