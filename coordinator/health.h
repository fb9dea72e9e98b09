#pragma once

#include "coordinator/engine.h"
#include "grpcpp/health_check_service_interface.h"

namespace quatrain {

// True while the engine takes requests.
bool TakesRequests(EnginePhase phase);

// What the standard health service says, by name:
//   "", "quatrain.v1.InferenceService", "readiness"   requests are served
//   "startup"                                         they were, once
//   "liveness"                                        this process answers
// gRPC's own service calls "" healthy from its first moment; so the server
// starts without ports, then this is made, then connections are accepted.
// Used by one thread at a time.
class Health {
 public:
  // Everything but liveness is NOT_SERVING. `service` must outlive this.
  explicit Health(grpc::HealthCheckServiceInterface* service);

  // Tells watchers if it changed.
  void SetServing(bool serving);

 private:
  void SetReady(bool ready);

  grpc::HealthCheckServiceInterface* service_;
  bool serving_ = false;
};

}  // namespace quatrain
