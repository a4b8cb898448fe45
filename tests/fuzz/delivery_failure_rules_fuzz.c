/*
 * A site's file of failure rules: it is taken, or refused with a line; what was taken judges
 * the file's own text without harm.
 */
#include <string.h>

#include "base/must.h"
#include "delivery/failure.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = {(const char *)data, size};
	struct err err = {0};
	struct failure_rules *r = failure_rules_parse(in, "f", &err);
	if (r == NULL) {
		must(strncmp(err.text, "f:", 2) == 0);
		return 0;
	}
	struct smtp_reply reply = {.code = 550, .text = in};
	struct failure_input input = {&reply, true, FAILURE_AT_RCPT, in};
	struct failure f;
	failure_judge(r, &input, &f);
	must((unsigned)f.class < FAILURE_CLASSES);
	failure_rules_free(&r);
	return 0;
}
