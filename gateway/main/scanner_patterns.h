/* What the rules' patterns are to the scanner (scan/pattern_list.h). */
#ifndef MAIN_SCANNER_PATTERNS_H
#define MAIN_SCANNER_PATTERNS_H

#include "main/generation.h"

/* A descriptor to hand to postern-scanner, the caller's; -1 and err. */
int scanner_patterns(const struct generation *g, struct err *err);

#endif
