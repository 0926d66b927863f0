#pragma once

// CUDA on the host, for tests: kernels are compiled by the host's compiler and run one thread at a time.
#include "host_run/arithmetic.h"
#include "host_run/block.h"
#include "host_run/language.h"
#include "host_run/launch.h"
