#include "headflow/core/control.hpp"

namespace headflow {

Control& Control::none() {
  static Control control;  // it has no state
  return control;
}

}  // namespace headflow
