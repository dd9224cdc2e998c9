(import "handle" (type (sub resource)))
