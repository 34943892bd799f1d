//! Thin volumes in LVM2 thin pools, driven by device-mapper ioctls.
