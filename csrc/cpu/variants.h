#pragma once

#include "cpu/kernels/correlation.h"
#include "cpu/kernels/distance.h"
#include "cpu/kernels/sample.h"
#include "cpu/kernels/scatter.h"

// The kernels are compiled once for each of several instruction sets. The first call chooses one of these variants:
// loading the library asks the machine nothing.
namespace tryon_kernels {

struct Variant {
  const char* name;
  bool (*runs_here)();  // has this CPU, under this system, the instructions?
  const Table<CorrelationKernels>* correlation;
  const Table<SampleKernels>* sample;
  const Table<ScatterKernels>* scatter;
  const Table<DistanceKernels>* distance;
};

// An error where the variant that the environment asks for cannot be had.
const Variant& chosen_variant();

template <class T>
const CorrelationKernels<T>& correlation_kernels() {
  return std::get<CorrelationKernels<T>>(*chosen_variant().correlation);
}

template <class T>
const SampleKernels<T>& sample_kernels() {
  return std::get<SampleKernels<T>>(*chosen_variant().sample);
}

template <class T>
const ScatterKernels<T>& scatter_kernels() {
  return std::get<ScatterKernels<T>>(*chosen_variant().scatter);
}

template <class T>
const DistanceKernels<T>& distance_kernels() {
  return std::get<DistanceKernels<T>>(*chosen_variant().distance);
}

}  // namespace tryon_kernels
