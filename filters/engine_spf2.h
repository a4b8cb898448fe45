/*
 * What goes to the process of libspf2 and back (`filter spf { engine libspf2 }`, `compare
 * libspf2`). That process asks no DNS: it is given the answers known so far, and where libspf2
 * wants another one it says which, is given that too, and runs again, as our own engine does.
 * So a crash, a leak or an endless walk in it costs one mail's result.
 *
 * Numbers are big-endian; a text is its length in 16 bits and its bytes.
 *   request: version 1 (8), family 4 or 6 (8), 4 or 16 bytes, texts helo, sender ("" for <>)
 * and hostname, count (16); an answer: type (16), status (8), text name, count (16); a record:
 * preference (16), text: 4 or 16 bytes for A and AAAA, else as struct dns_rr reply:   0 (8),
 * result (8), text explanation; or 1 (8), count (16), each: type (16), text name
 */
#ifndef FILTERS_ENGINE_SPF2_H
#define FILTERS_ENGINE_SPF2_H

#include "filters/spf.h"

#define ENGINE_SPF2_NAME "libspf2" /* of the engine in questions and configuration */

enum {
	ENGINE_SPF2_ANSWERS_MOST =
		64, /* wanted in all: ten look-ups of ten names each never need more */
	ENGINE_SPF2_BYTES_MOST = 120 * 1024, /* goes in one message */
};

struct engine_spf2_answer {
	struct slice name;
	enum dns_type type;
	struct dns_answer answer; /* in a reply's `wanted`: empty */
};

struct engine_spf2_request {
	struct ip client;
	struct slice helo, sender, hostname;
	struct engine_spf2_answer *answers;
	size_t n_answers;
};

struct engine_spf2_reply {
	bool done;
	enum spf_result result;            /* done */
	struct slice explanation;          /* done, of a fail; may be empty */
	struct engine_spf2_answer *wanted; /* not done: at least one */
	size_t n_wanted;
};

/* Empty: larger than ENGINE_SPF2_BYTES_MOST. */
struct slice engine_spf2_pack_request(const struct engine_spf2_request *r, struct arena *a);
struct slice engine_spf2_pack_reply(const struct engine_spf2_reply *r, struct arena *a);
/* False: not well formed. Slices point into the bytes. */
bool engine_spf2_unpack_request(
	struct slice bytes, struct arena *a, struct engine_spf2_request *r_out);
bool
engine_spf2_unpack_reply(struct slice bytes, struct arena *a, struct engine_spf2_reply *r_out);

#endif
