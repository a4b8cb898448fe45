/*
 * The bytes of filters/spam.model, as they are built in (contrib/cmake/PosternTargets.cmake).
 * spam_score.h says what the model is asked.
 */
#ifndef FILTERS_SPAM_SHIPPED_H
#define FILTERS_SPAM_SHIPPED_H

#include <stddef.h>

extern const unsigned char spam_model_builtin[];
extern const size_t spam_model_builtin_bytes;

#endif
