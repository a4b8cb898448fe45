/*
 * Reads Rspamd's answer, JSON by RFC 8259, byte by byte: `score`, `required_score` and `action`
 * of the topmost object are kept, all else is passed over, but has to be right too. No tree and
 * no heap, so that a reply costs the same whatever is in it; at most 32 levels deep. Bytes that
 * are no UTF-8 may stand in texts that are passed over: texts of the mail are shown there.
 */
#ifndef FILTERS_NEIGHBOUR_JSON_H
#define FILTERS_NEIGHBOUR_JSON_H

#include "base/slice.h"

enum { NEIGHBOUR_JSON_DEPTH = 32, NEIGHBOUR_JSON_TOKEN = 64 };

struct neighbour_json {
	int state;
	uint32_t objects; /* a bit for each level: an object, else an array */
	unsigned depth;
	bool key;                         /* the text that is read names a value */
	int wanted;                       /* what the value that is read is for */
	unsigned have;                    /* a bit for each of those that were read */
	const char *literal;              /* what is to come of true, false, null */
	unsigned hex, hex_left;           /* of \uXXXX */
	char token[NEIGHBOUR_JSON_TOKEN]; /* of a key or value that may be wanted */
	size_t token_bytes;               /* as it came: more than fits is not kept */
	double score, required;
	char action[NEIGHBOUR_JSON_TOKEN];
	const char *why; /* what is wrong; NULL: nothing yet */
};

void neighbour_json_init(struct neighbour_json *j);
/* False: this is none, or says twice what is wanted; j->why has words. */
bool neighbour_json_feed(struct neighbour_json *j, struct slice in);
/* No more comes. False: it is not whole, or lacks what is wanted. */
bool neighbour_json_end(struct neighbour_json *j);
/* -12.25: digits with at most a sign, a fraction and an exponent, within a million. */
bool neighbour_number(struct slice s, double *out);

#endif
