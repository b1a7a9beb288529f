//#if F16
enable f16;
//#endif
//#if SUBGROUPS
enable subgroups;
//#endif
//#if MATRICES
enable chromium_experimental_subgroup_matrix;
//#endif
//#if F16
alias scalar = f16;
alias vec4s = vec4<f16>;
//#else
alias scalar = f32;
alias vec4s = vec4<f32>;
//#endif
