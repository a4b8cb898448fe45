/*
 * Look-ups between a session and the directory process (io/ipc.h): one question, one answer
 * with its id.
 *
 *   session -> DIRECTORY_MSG_LOOKUP     <- DIRECTORY_MSG_ANSWER
 */
#ifndef DIRECTORY_MESSAGES_H
#define DIRECTORY_MESSAGES_H

#include "base/slice.h"
#include "io/ipc.h"

enum { DIRECTORY_MSG_LOOKUP = 0x1201, DIRECTORY_MSG_ANSWER };
enum { DIRECTORY_TABLE_MOST = 256, DIRECTORY_VALUE_MOST = 1024, DIRECTORY_WHY_MOST = 400 };

struct directory_lookup {
	struct slice table,
		value; /* the table by its name; a value longer than MOST is in none */
};

enum directory_found { DIRECTORY_YES, DIRECTORY_NO, DIRECTORY_FAILED };

struct directory_answer {
	enum directory_found found;
	struct slice why; /* FAILED: in words */
};

void directory_lookup_pack(const struct directory_lookup *l, struct ipc_out *out);
bool directory_lookup_unpack(struct slice payload, struct directory_lookup *l_out);
void directory_answer_pack(const struct directory_answer *a, struct ipc_out *out);
bool directory_answer_unpack(struct slice payload, struct directory_answer *a_out);

#endif
