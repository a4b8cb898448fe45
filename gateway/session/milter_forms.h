/*
 * The table of what each action of the language becomes in a milter. The manual prints it, and
 * the code that does it stands in milter_gate_end.c, row by row.
 */
#ifndef SESSION_MILTER_FORMS_H
#define SESSION_MILTER_FORMS_H

#include "conf/rules.h"

struct milter_form {
	enum action action;
	const char *form; /* in the protocol's words */
};

extern const struct milter_form milter_forms[ACTION_COUNT]; /* by action */

#endif
