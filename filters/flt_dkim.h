/* What other filters and Authentication-Results need of DKIM beyond its facts: the single
 * signatures. */
#ifndef FILTERS_FLT_DKIM_H
#define FILTERS_FLT_DKIM_H

#include "filters/dkim.h"
#include "filters/facts.h"

/* Of this mail; all decided once the fact `dkim` is known. NULL: the mail is not verified. */
const struct dkim_verify *flt_dkim_verify(struct facts *f);

#endif
