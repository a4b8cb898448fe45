/* libspf2 in the process that the gateway starts, asked again with what it wants, as the filter
 * does it. */
#ifndef SUITES_SPF_SECOND_H
#define SUITES_SPF_SECOND_H

#include "filters/engine_spf2.h"

struct spf_second;

struct spf_second_dns {
	void (*look_up)(void *arg, struct slice name, enum dns_type type, struct arena *a,
		struct dns_answer *answer_out);
	void *arg;
};

/* postern-engine stands in the folder of the program that runs. */
struct spf_second *spf_second_new(void);
void spf_second_free(struct spf_second **s);
/* The number of runs; 0: one failed. request->answers are filled in here. */
int spf_second_check(struct spf_second *s, const struct spf_second_dns *dns,
	struct engine_spf2_request *request, struct arena *a,
	struct engine_spf2_reply *reply_out);

#endif
